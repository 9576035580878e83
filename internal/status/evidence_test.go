package status_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/status"
)

// TestLatencyBins: each latency is in a bin that ends at most 5 % above it.
func TestLatencyBins(t *testing.T) {
	t.Parallel()
	for seconds := 0.0011; seconds < 200; seconds *= 1.013 {
		end := status.LatencyEnd(status.LatencyBin(seconds))
		require.GreaterOrEqual(t, end, seconds*0.999999)
		require.LessOrEqual(t, end, seconds*1.0501)
	}
	require.Zero(t, status.LatencyBin(0))
	require.Equal(t, status.LatencyBins-1, status.LatencyBin(1e9))
}

func TestLatencyQuantile(t *testing.T) {
	t.Parallel()
	counts := make([]uint64, status.LatencyBins)
	require.Zero(t, status.LatencyQuantile(counts, 0.99))
	counts[10], counts[20] = 99, 1
	require.InDelta(t, status.LatencyEnd(10), status.LatencyQuantile(counts, 0.99), 1e-12)
	counts[20]++
	require.InDelta(t, status.LatencyEnd(20), status.LatencyQuantile(counts, 0.995), 1e-12)
}

package testbed

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestClosedConnectionsAreForgotten: a demo that runs for a week must not collect
// closed connections.
func TestClosedConnectionsAreForgotten(t *testing.T) {
	t.Parallel()
	backend, err := Start(Options{})
	require.NoError(t, err)
	t.Cleanup(backend.Kill)
	report, err := Load{URL: backend.URL(), Connections: 8, Requests: 80}.Run(t.Context())
	require.NoError(t, err)
	require.Zero(t, report.Lost(), report.Errors)
	listener := backend.run.listener
	forgotten := func() bool {
		listener.mu.Lock()
		defer listener.mu.Unlock()
		return len(listener.open) == 0
	}
	require.Eventually(t, forgotten, 5*time.Second, time.Millisecond)
}

package ingressgen

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/migration"
)

// TestSplitOf: a share that is no whole percent needs the total 10000.
func TestSplitOf(t *testing.T) {
	t.Parallel()
	for share, want := range map[migration.Share]canarySplit{
		2000: {weight: "20"},
		2010: {weight: "2010", total: "10000"},
		25:   {weight: "25", total: "10000"},
		0:    {weight: "0"},
	} {
		require.Equal(t, want, splitOf(&migration.Service{Enabled: true, Share: share}), "share %s", share)
	}
}

package status_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/status"
)

// FuzzParseCluster: a document that was parsed does not change when it is written
// and parsed again; after an error only Paused is set.
func FuzzParseCluster(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `null`, `[]`, `{"services":{"api":{"host":"a.example","path_prefix":"/","phase":"Migrating","since":"2026-01-01T00:00:00Z"}}}`,
	} {
		f.Add(seed, "")
		f.Add(seed, "paused by ada")
	}
	f.Fuzz(func(t *testing.T, text, paused string) {
		cluster, err := status.ParseCluster(map[string]string{status.ClusterKey: text, status.PausedKey: paused})
		require.Equal(t, paused, cluster.Paused)
		if err != nil {
			require.Equal(t, status.Cluster{Paused: paused}, cluster)
			require.ErrorContains(t, err, status.ClusterKey)
			return
		}
		written, err := cluster.Text()
		if err != nil {
			return // a year that RFC 3339 cannot write
		}
		again, err := status.ParseCluster(map[string]string{status.ClusterKey: written, status.PausedKey: paused})
		require.NoError(t, err)
		rewritten, err := again.Text()
		require.NoError(t, err)
		require.Equal(t, written, rewritten)
	})
}

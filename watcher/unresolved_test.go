package watcher_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/status"
	"github.com/migration-proxy/migration-proxy/watcher"
)

// TestVerdictWithoutOld: a replica that has never found old would answer 502
// where the Ingress works. With addresses from before it does serve, and at
// 100 % nothing depends on old.
func TestVerdictWithoutOld(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		share int
		old   status.Side
		want  status.Phase
	}{
		{"never resolved", 20, status.Side{Unresolved: "no such host"}, status.Bypassed},
		{"resolved before", 20, status.Side{Unresolved: "no such host", Addresses: []string{"10.0.0.1:80"}}, status.Migrating},
		{"never resolved and not needed", 100, status.Side{Unresolved: "no such host"}, status.Migrating},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			table, err := config.Load("test", []byte(servicesOf("app", map[string]int{"api": c.share})))
			require.NoError(t, err)
			word := says{ready: true, phase: status.Migrating}.word("a")
			word.Status.Services[0].Old = c.old
			after := watcher.Verdict(table, []watcher.Word{word}, status.Cluster{}, noon)
			require.Equal(t, c.want, after.Services["api"].Phase)
		})
	}
}

package watcher_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/watcher"
)

const headerAlone = "percentage: 100, strategy: header}, canary: {header_rules: [{header: X-A, value: new, target: new_cluster}]}"

// TestVerdictWithoutOld: a replica that has never found old would answer 502
// where the Ingress works. With addresses from before it does serve, and at
// 100 % nothing depends on old.
func TestVerdictWithoutOld(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		share int
		rules string // YAML in place of "percentage: 100}"
		old   status.Side
		want  status.Phase
	}{
		{"never resolved", 20, "", status.Side{Unresolved: "no such host"}, status.Bypassed},
		{"resolved before", 20, "", status.Side{Unresolved: "no such host", Addresses: []string{"10.0.0.1:80"}}, status.Migrating},
		{"never resolved and not needed", 100, "", status.Side{Unresolved: "no such host"}, status.Migrating},
		{"never resolved, and rules alone lead to new", 100, headerAlone, status.Side{Unresolved: "no such host"}, status.Bypassed},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			text := servicesOf("app", map[string]int{"api": c.share})
			if c.rules != "" {
				text = strings.Replace(text, "percentage: 100}", c.rules, 1)
			}
			table, err := config.Load("test", []byte(text))
			require.NoError(t, err)
			word := says{ready: true, phase: status.Migrating}.word("a")
			word.Status.Services[0].Old = c.old
			after := watcher.Verdict(table, []watcher.Word{word}, status.Cluster{}, noon)
			require.Equal(t, c.want, after.Services["api"].Phase)
		})
	}
}

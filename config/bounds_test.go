package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/config"
)

// TestProblemsAreBounded: whatever a text has, its error is small, and says how many
// problems there are.
func TestProblemsAreBounded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"misspelled keys":   {"services:\n" + strings.Repeat("- {namN: x}\n", 80_000), "more problems; mend these first)"},
		"nothing":           {"services:\n" + strings.Repeat("-\n", 100_000), "(and at least 99900 more problems; mend these first)"},
		"a long tag":        {"services: !" + strings.Repeat("x", 1<<20) + " []\n", "is not supported"},
		"a long number":     {"global: {retry_attempts: " + strings.Repeat("9", 1<<20) + "}\nservices: []\n", "retry_attempts"},
		"a long percentage": {"services:\n- {migration: {percentage: 0" + strings.Repeat("9", 1<<20) + "}}\n", "percentage"},
		"a long bool":       {"global: {debug_headers: " + strings.Repeat("y", 1<<20) + "}\nservices: []\n", "debug_headers"},
		"a long key":        {"? " + strings.Repeat("y", 1<<20) + "\n: 1\n", "unknown key"},
		"a long size":       {"services:\n- {max_body_size: " + strings.Repeat("9", 1<<20) + "k}\n", "max_body_size"},
		"a long list key":   {"? [" + strings.Repeat("y,", 1<<18) + "]\n: 1\n", "a key must be a plain word"},
		"one deep list":     {"services: " + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + "\n", "services"},
		"one syntax error":  {"services: []\n" + strings.Repeat("# x\n", 200_000) + "a: b: c\n", "this is not YAML"},
		"a long line":       {"services: [" + strings.Repeat("x", 1<<20) + ": y: z]", ""},
		"a long old_host":   {"services:\n- {old_host: " + strings.Repeat("a.", 1<<19) + "}\n", "old_host"},
		"a long pattern":    {"services:\n- {canary: {header_rules: [{pattern: " + strings.Repeat("(", 1<<20) + "}]}}\n", "pattern"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := config.Load("c", []byte(c.text))
			require.Error(t, err)
			require.Less(t, len(err.Error()), 200<<10)
			require.Contains(t, err.Error(), c.want)
		})
	}
}

// TestLongestPaths checks that the longest path that is documented loads, and none longer.
func TestLongestPaths(t *testing.T) {
	t.Parallel()
	for key, value := range map[string]string{"health_check.path": "health_check: {path: %s}", "tls.ca_file": "tls: {ca_file: %s}"} {
		load := func(length int) error {
			line := fmt.Sprintf(value, "/"+strings.Repeat("a", length-1))
			_, err := config.Load("test", []byte("services: [{name: api, old_host: a.example, old_backend: 'a.b:80', new_host: n.example, new_backend: 'n.example:443', "+line+"}]"))
			return err
		}
		require.NoError(t, load(1024), key)
		require.ErrorContains(t, load(1025), "at most 1024", key)
	}
}

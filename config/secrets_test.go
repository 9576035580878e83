package config_test

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/config"
)

// TestNoSecretsInProblems: a client that knows the value of a header rule can use the rule, so
// no problem repeats it. Problems are logged, and stand in /status.
func TestNoSecretsInProblems(t *testing.T) {
	t.Parallel()
	for _, field := range []string{
		`value: " hunter2"`, "value: hunter2\\n", "value: 5052317", "value: 2024-05-05", "value: [hunter2]", `value: "hunter2\u00e9"`,
		"value: hunter2" + fmt.Sprintf("%0600d", 0), `pattern: "hunter2("`, `pattern: "[hunter2"`, `pattern: "(?m)^hunter2"`,
		`pattern: "hunter2\u00e9"`, `pattern: "hunter2{1000}{1000}"`, "pattern: 5052317", "pattern: hunter2" + fmt.Sprintf("%0600d", 0), `pattern: "a**hunter2"`,
		"value: &hunter2 x", "value: [{a: hunter2}]",
	} {
		_, err := config.Load("c.yaml", []byte(`services:
  - name: shop
    old_host: shop.example.com
    old_backend: http://old
    new_host: shop.new.example.com
    new_backend: https://new
    canary:
      header_rules:
        - {header: X-Key, target: new_cluster, `+field+`}
`))
		if err == nil {
			continue // YAML reads "\n" outside of quotes as two characters
		}
		require.NotContains(t, err.Error(), "hunter", strconv.Quote(field))
		require.NotContains(t, err.Error(), "505231", strconv.Quote(field))
		require.NotContains(t, err.Error(), "2024-05", strconv.Quote(field))
	}
}

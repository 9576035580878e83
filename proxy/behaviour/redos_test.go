package behaviour

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/migration"
)

// TestBacktrackingIsBounded: whatever pattern an operator wrote, a client's
// header must not stop the worker. Without limits a hundred of the first took
// 25 s, of the others minutes; they are compared with a hundred harmless ones,
// and given much room.
func TestBacktrackingIsBounded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, pattern, value string }{
		{"exponential", "(a*)*b", strings.Repeat("a", 40)},
		{"any text before", ".*beta=1", strings.Repeat("a", 30000) + "=1"},
		{"quadratic", "[a-z]*beta=1", strings.Repeat("a", 30000) + "=1"},
		{"quadratic, and as long as is looked at", "[a-z]*beta=1", strings.Repeat("a", migration.LongestMatched-2) + "1="},
		{"quadratic without backtracking", "[a-z]*=1", strings.Repeat("a", migration.LongestMatched-2) + "-1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			hundred := hundredRequests(t, c.pattern)
			harmless := hundred("c")
			require.Less(t, hundred(c.value), 10*harmless+5*time.Second)
		})
	}
}

// hundredRequests serves one pattern for the header X-Client, and tells how
// long a hundred requests with a value take.
func hundredRequests(t *testing.T, pattern string) func(value string) time.Duration {
	backend := echo(t, "old")
	table, err := config.Load("redos.yaml", []byte(`services:
  - name: a
    old_host: a.example.com
    old_backend: `+backend+`
    new_host: n.example.com
    new_backend: `+backend+`
    migration: {enabled: true, strategy: header}
    canary: {header_rules: [{header: X-Client, pattern: "`+pattern+`", target: new_cluster}]}
`))
	require.NoError(t, err)
	rig := startRig(t, table, nil)
	return func(value string) time.Duration {
		start := time.Now()
		for range 100 {
			request, err := http.NewRequest("GET", "http://"+rig.params.Listen.String()+"/", nil)
			require.NoError(t, err)
			request.Host = "a.example.com"
			request.Header.Set("X-Client", value)
			response, err := http.DefaultClient.Do(request)
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			require.Equal(t, http.StatusOK, response.StatusCode)
		}
		return time.Since(start)
	}
}

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
			ask := servePattern(t, c.pattern)
			hundred := func(value string) time.Duration {
				start := time.Now()
				for range 100 {
					require.Equal(t, "old", ask(value))
				}
				return time.Since(start)
			}
			harmless := hundred("c")
			require.Less(t, hundred(c.value), 10*harmless+5*time.Second)
		})
	}
}

// TestLongestMatched: nginx looks at as much of a value as Pattern.Match.
func TestLongestMatched(t *testing.T) {
	t.Parallel()
	ask := servePattern(t, "beta=1$")
	value := strings.Repeat("a", migration.LongestMatched-len("beta=1")) + "beta=1"
	require.Equal(t, "new", ask(value))
	require.Equal(t, "old", ask("a"+value))
}

// servePattern sends to new what matches a pattern in the header X-Client; what
// it gives asks with a value, and tells who answered.
func servePattern(t *testing.T, pattern string) func(value string) string {
	table, err := config.Load("redos.yaml", []byte(`services:
  - name: a
    old_host: a.example.com
    old_backend: `+echo(t, "old")+`
    new_host: n.example.com
    new_backend: `+echo(t, "new")+`
    migration: {enabled: true, strategy: header}
    canary: {header_rules: [{header: X-Client, pattern: "`+pattern+`", target: new_cluster}]}
`))
	require.NoError(t, err)
	rig := startRig(t, table, nil)
	return func(value string) string {
		request, err := http.NewRequest("GET", "http://"+rig.params.Listen.String()+"/", nil)
		require.NoError(t, err)
		request.Host = "a.example.com"
		request.Header.Set("X-Client", value)
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, http.StatusOK, response.StatusCode)
		return response.Header.Get("Echo-Side")
	}
}

package behavior

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/migration"
)

// TestBacktrackingIsBounded: the header of a client must not block a worker, for
// any pattern in the config. Without limits, 100 requests of the first case took
// 25 s, and of the others minutes. The test compares them with 100 harmless
// requests, with a wide margin.
func TestBacktrackingIsBounded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, pattern, value string }{
		{"exponential", "(a*)*b", strings.Repeat("a", 40)},
		{"any text before", ".*beta=1", strings.Repeat("a", 30000) + "=1"},
		{"quadratic", "[a-z]*beta=1", strings.Repeat("a", 30000) + "=1"},
		{"quadratic, of the maximum length", "[a-z]*beta=1", strings.Repeat("a", migration.LongestMatched-2) + "1="},
		{"quadratic without backtracking", "[a-z]*=1", strings.Repeat("a", migration.LongestMatched-2) + "-1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			send := servePattern(t, c.pattern)
			hundred := func(value string) time.Duration {
				start := time.Now()
				for range 100 {
					require.Equal(t, "old", send(value))
				}
				return time.Since(start)
			}
			harmless := hundred("c")
			require.Less(t, hundred(c.value), 10*harmless+5*time.Second)
		})
	}
}

// TestLongestMatched: nginx matches as many bytes of a value as Pattern.Match.
func TestLongestMatched(t *testing.T) {
	t.Parallel()
	send := servePattern(t, "beta=1$")
	value := strings.Repeat("a", migration.LongestMatched-len("beta=1")) + "beta=1"
	require.Equal(t, "new", send(value))
	require.Equal(t, "old", send("a"+value))
}

// servePattern serves a rule that sends to new the requests whose header
// X-Client matches a pattern. The function that it returns sends a request with
// a value, and returns the side that answered.
func servePattern(t *testing.T, pattern string) (send func(value string) string) {
	rig := startRig(t, loadTable(t, "services:"+serviceText("a", startEcho(t, "old"), startEcho(t, "new"), `    migration: {enabled: true, strategy: header}
    canary: {header_rules: [{header: X-Client, pattern: "`+pattern+`", target: new_cluster}]}
`)), nil)
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

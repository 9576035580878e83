package behaviour

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/config"
)

// TestBacktrackingIsBounded: whatever pattern an operator wrote, a client's
// header must not stop the worker. Without the limit a hundred of these took
// 25 s; they are compared with a hundred harmless ones, and given much room.
func TestBacktrackingIsBounded(t *testing.T) {
	t.Parallel()
	backend := echo(t, "old")
	table, err := config.Load("redos.yaml", []byte(`services:
  - name: a
    old_host: a.example.com
    old_backend: `+backend+`
    new_host: n.example.com
    new_backend: `+backend+`
    migration: {enabled: true, strategy: header}
    canary: {header_rules: [{header: X-Client, pattern: "(a*)*b", target: new_cluster}]}
`))
	require.NoError(t, err)
	rig := startRig(t, table, nil)
	hundred := func(value string) time.Duration {
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
	harmless := hundred("c")
	require.Less(t, hundred(strings.Repeat("a", 40)), 10*harmless+5*time.Second)
}

package behavior

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/migration-proxy/migration-proxy/nginxgen"
)

// askSocket sends a GET on a socket of the comparison.
func askSocket(t *testing.T, dir, socket, host, target string) (*http.Response, string) {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(dir, socket))
	}}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+host+target, nil)
	require.NoError(t, err)
	request.Header = http.Header{
		"X-Migration-Compare": {"1"}, "X-Forwarded-For": {"192.0.2.1"}, "X-Real-Ip": {"192.0.2.1"}, "X-Forwarded-Proto": {"https"},
	}
	response, err := transport.RoundTrip(request)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response, string(body)
}

// TestCompareSocketsAskOneSide asserts that the share does not decide on them, that new
// is asked with its own Host, and that old never answers for new.
func TestCompareSocketsAskOneSide(t *testing.T) {
	t.Parallel()
	for name, global := range map[string]string{"edge": "", "trusted proxies": "global: {trusted_proxies: [127.0.0.0/8]}\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old, new := startBackend(t, testbed.Options{Name: "old"}), startBackend(t, testbed.Options{Name: "new"})
			table := loadTable(t, global+"services:"+
				serviceText("api", old.URL(), new.URL(), allNew)+
				serviceText("kept", old.URL(), new.URL(), "    cache: {ttl: 1m}\n"+allNew)+
				serviceText("plain", old.URL(), new.URL(), "    fallback: {enabled: false}\n"+allNew))
			r := &rig{table: table, params: newParams(t)}
			r.params.Compare = true
			r.start(t, literalEndpoints(table))
			for _, service := range []string{"api", "kept", "plain"} {
				host := service + ".example.com"
				for range 2 {
					response, body := askSocket(t, r.params.RuntimeDir, nginxgen.CompareOldSocket, host, "/a")
					require.Equal(t, "old", response.Header.Get(testbed.BackendHeader))
					require.Contains(t, body, `"host":"`+host+`"`)
					require.Contains(t, body, `"X-Forwarded-For":["192.0.2.1"]`)
					response, body = askSocket(t, r.params.RuntimeDir, nginxgen.CompareNewSocket, host, "/a")
					require.Equal(t, "new", response.Header.Get(testbed.BackendHeader))
					require.Contains(t, body, `"host":"`+newHost+`"`)
					require.Contains(t, body, `"X-Forwarded-For":["192.0.2.1"]`)
					require.Contains(t, body, `"X-Real-Ip":["192.0.2.1"]`)
					require.Contains(t, body, `"X-Forwarded-Proto":["https"]`)
					require.Regexp(t, `\A200;0\.\d+;0\.\d+\z`, response.Header.Get(nginxgen.CompareHeader))
				}
				response, _ := askSocket(t, r.params.RuntimeDir, nginxgen.CompareNewSocket, host, "/do/status/503")
				require.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
				require.Equal(t, "new", response.Header.Get(testbed.BackendHeader))
			}
			response, _ := askSocket(t, r.params.RuntimeDir, nginxgen.CompareNewSocket, "other.example.com", "/")
			require.Equal(t, http.StatusMisdirectedRequest, response.StatusCode)
			require.Equal(t, "new", clientSide(t, r, "api.example.com"), "clients are not in the comparison")
			requireEventually(t, r.params.RuntimeDir, `decision="new/compare"`)
		})
	}
}

func clientSide(t *testing.T, r *rig, host string) string {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.params.Listen.String()+"/", nil)
	require.NoError(t, err)
	request.Host = host
	response, err := http.DefaultTransport.RoundTrip(request)
	require.NoError(t, err)
	defer response.Body.Close()
	return response.Header.Get(testbed.BackendHeader)
}

// requireEventually waits until the access log has a text.
func requireEventually(t *testing.T, dir, text string) {
	require.Eventually(t, func() bool {
		log, _ := os.ReadFile(filepath.Join(dir, "access.log"))
		return strings.Contains(string(log), text)
	}, patience, quick)
}

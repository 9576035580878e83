package behaviour

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/config"
)

// TestGzipIsAnOption: off it changes nothing.
func TestGzipIsAnOption(t *testing.T) {
	t.Parallel()
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"filling": %q}`, strings.Repeat("x", 4000))
	}))
	t.Cleanup(backend.Close)
	text := "services:\n"
	for _, name := range []string{"plain", "gzip"} {
		text += fmt.Sprintf(`  - name: %[1]s
    old_host: %[1]s.example.com
    old_backend: %[2]s
    new_host: new.example.com
    new_backend: %[2]s
    migration: {enabled: true, percentage: 100}
`, name, backend.URL)
	}
	text = strings.Replace(text, "  - name: gzip\n", "  - name: gzip\n    gzip: true\n", 1)
	table, err := config.Load("options.yaml", []byte(text))
	require.NoError(t, err)
	rig := startRig(t, table, nil)

	get := func(name string) (*http.Response, string) {
		request, err := http.NewRequest("GET", "http://"+rig.params.Listen.String()+"/", nil)
		require.NoError(t, err)
		request.Host = name + ".example.com"
		request.Header.Set("Accept-Encoding", "gzip")
		response, err := http.DefaultTransport.RoundTrip(request)
		require.NoError(t, err)
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, response.StatusCode)
		return response, string(body)
	}

	response, body := get("plain")
	require.Empty(t, response.Header.Get("Content-Encoding"))
	require.Greater(t, len(body), 4000)
	response, body = get("gzip")
	require.Equal(t, "gzip", response.Header.Get("Content-Encoding"))
	require.Less(t, len(body), 1000)
}

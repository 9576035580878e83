package behavior

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestGzip: without the option responses are not compressed.
func TestGzip(t *testing.T) {
	t.Parallel()
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"filling": %q}`, strings.Repeat("x", 4000))
	}))
	t.Cleanup(backend.Close)
	text := "services:" + serviceText("plain", backend.URL, backend.URL, allNew) +
		serviceText("gzip", backend.URL, backend.URL, allNew+"    gzip: true\n")
	rig := startRig(t, loadTable(t, text), nil)

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

package behaviour

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/config"
)

// TestGzipAndCacheAreOptions: off they change nothing, on they do what they
// say, and nobody who is known gets another's answer.
func TestGzipAndCacheAreOptions(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/private" {
			w.Header().Set("Cache-Control", "private")
		}
		_, _ = fmt.Fprintf(w, `{"asked": %d, "filling": %q}`, asked.Add(1), strings.Repeat("x", 4000))
	}))
	t.Cleanup(backend.Close)
	text := "services:\n"
	for _, name := range []string{"plain", "gzip", "cache"} {
		text += fmt.Sprintf(`  - name: %[1]s
    old_host: %[1]s.example.com
    old_backend: %[2]s
    new_host: new.example.com
    new_backend: %[2]s
    migration: {enabled: true, percentage: 100}
`, name, backend.URL)
	}
	text = strings.Replace(text, "  - name: gzip\n", "  - name: gzip\n    gzip: true\n", 1)
	text = strings.Replace(text, "  - name: cache\n", "  - name: cache\n    cache: {ttl: 1m}\n", 1)
	table, err := config.Load("options.yaml", []byte(text))
	require.NoError(t, err)
	rig := startRig(t, table, nil)

	get := func(name, path string, header ...string) (*http.Response, string) {
		request, err := http.NewRequest("GET", "http://"+rig.params.Listen.String()+path, nil)
		require.NoError(t, err)
		request.Host = name + ".example.com"
		request.Header.Set("Accept-Encoding", "gzip")
		for i := 0; i < len(header); i += 2 {
			request.Header.Set(header[i], header[i+1])
		}
		response, err := http.DefaultTransport.RoundTrip(request)
		require.NoError(t, err)
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, response.StatusCode)
		return response, string(body)
	}
	same := func(name, path string, header ...string) bool {
		_, first := get(name, path, header...)
		_, second := get(name, path, header...)
		return first == second
	}

	response, body := get("plain", "/")
	require.Empty(t, response.Header.Get("Content-Encoding"))
	require.Greater(t, len(body), 4000)
	response, body = get("gzip", "/")
	require.Equal(t, "gzip", response.Header.Get("Content-Encoding"))
	require.Less(t, len(body), 1000)

	require.False(t, same("plain", "/a"))
	require.True(t, same("cache", "/a"))
	require.False(t, same("cache", "/private"), "new says that it is private")
	require.False(t, same("cache", "/a", "Cookie", "who=me"))
	require.False(t, same("cache", "/a", "Authorization", "Bearer me"))
	_, kept := get("cache", "/a")
	for range 2 {
		_, other := get("cache", "/a", "Cookie", "who=me")
		require.NotEqual(t, kept, other)
	}
	_, again := get("cache", "/a")
	require.Equal(t, kept, again, "an answer to somebody who is known is not kept")
	_, other := get("cache", "/a?b")
	require.NotEqual(t, kept, other)
}

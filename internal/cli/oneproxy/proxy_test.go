package oneproxy_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/cli/oneproxy"
)

func TestAddress(t *testing.T) {
	t.Parallel()
	for written, want := range map[string]string{":8080": "localhost:8080", "10.0.0.7:1": "10.0.0.7:1", "[::1]:1": "[::1]:1"} {
		proxy, err := oneproxy.New(written)
		require.NoError(t, err)
		require.Equal(t, want, proxy.Address())
	}
	_, err := oneproxy.New("a b")
	require.EqualError(t, err, "write HOST:PORT")
}

// TestStatusSaysWhatToDo for each way to fail.
func TestStatusSaysWhatToDo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, says string
		answer     http.HandlerFunc // nil: nothing listens there
	}{
		{"gone", "start one with 'migration-proxy run', or name its address with --http", nil},
		{"not found", "answers 404 Not Found: is this a migration proxy?", http.NotFound},
		{"another server", "answers, but not with a proxy's status; name the proxy's address with --http",
			func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(c.answer)
			defer server.Close()
			if c.answer == nil {
				server.Close()
			}
			proxy, err := oneproxy.New(strings.TrimPrefix(server.URL, "http://"))
			require.NoError(t, err)
			_, _, err = proxy.Status(t.Context())
			require.ErrorContains(t, err, c.says)
		})
	}
}

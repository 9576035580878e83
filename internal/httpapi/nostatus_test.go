package httpapi

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

// The webhook has conditions and metrics, and no replica's status.
func TestWithoutStatus(t *testing.T) {
	t.Parallel()
	fine := func() error { return nil }
	server, err := New(Options{Alive: fine, Ready: fine, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	for path, want := range map[string]int{
		"/": http.StatusOK, "/ready": http.StatusOK, "/metrics": http.StatusOK, "/status": http.StatusNotFound,
	} {
		answer := httptest.NewRecorder()
		server.handler.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))
		require.Equal(t, want, answer.Code, path)
		require.NotContains(t, answer.Body.String(), "/status ", path)
		require.NotContains(t, answer.Body.String(), "migration_proxy_nginx_up", path)
	}
}

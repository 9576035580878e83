package proxyclient_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/proxyclient"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

// serve answers every request with the text, and gives the host:port.
func serve(t *testing.T, code int, text string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = w.Write([]byte(text))
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func TestStatus(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(status.Status{Version: "v1", StartedAt: time.Unix(1, 0)})
	require.NoError(t, err)
	document, sent, err := proxyclient.New().Status(t.Context(), serve(t, http.StatusOK, string(text)))
	require.NoError(t, err)
	require.Equal(t, "v1", document.Version)
	require.Equal(t, text, sent)
}

func TestStatusRefusesOtherAnswers(t *testing.T) {
	t.Parallel()
	for _, text := range []string{``, `{}`, `<html>`, `{"started_at": 5}`} {
		_, _, err := proxyclient.New().Status(t.Context(), serve(t, http.StatusOK, text))
		require.ErrorIs(t, err, proxyclient.ErrNotAStatus, text)
	}
	address := serve(t, http.StatusNotFound, "")
	_, _, err := proxyclient.New().Status(t.Context(), address)
	require.Equal(t, proxyclient.AnswerError{URL: "http://" + address + "/status", Status: "404 Not Found"}, err)
}

// TestNoEnvironmentProxy: $HTTP_PROXY cannot reach pods.
func TestNoEnvironmentProxy(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://"+serve(t, http.StatusOK, "{}"))
	_, _, err := proxyclient.New().Status(t.Context(), "no-such-name.invalid:8080")
	require.ErrorContains(t, err, "no-such-name.invalid")
}

func TestCheckAddress(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"localhost:8080", "[::1]:80", ":8080", "10.0.0.1:1"} {
		require.NoError(t, proxyclient.CheckAddress(good), good)
	}
	for _, bad := range []string{"a b:80", "host:port", "host/path", "http://host:80", "\x00"} {
		require.Error(t, proxyclient.CheckAddress(bad), bad)
	}
}

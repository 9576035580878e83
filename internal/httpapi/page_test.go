package httpapi

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/history"
)

// TestIndexForBrowsers: who asks for HTML gets the page, all others get text as ever.
func TestIndexForBrowsers(t *testing.T) {
	t.Parallel()
	o := options()
	o.Page = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "page "+r.URL.Path) })
	server, err := New(o)
	require.NoError(t, err)
	for accept, want := range map[string]string{
		"": "migration proxy\n", "*/*": "migration proxy\n", "application/json": "migration proxy\n", "text/html;q=0, text/plain": "migration proxy\n",
		"text/html": "page /", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": "page /", "text/plain, text/html; q=0.5": "page /",
	} {
		request := httptest.NewRequest(http.MethodGet, "/", nil)
		request.Header.Set("Accept", accept)
		answer := httptest.NewRecorder()
		server.handler.ServeHTTP(answer, request)
		require.Contains(t, answer.Body.String(), want, accept)
		require.Equal(t, "Accept", answer.Header().Get("Vary"))
	}
}

func TestHistory(t *testing.T) {
	t.Parallel()
	o := options()
	o.History = func(service string) history.Document {
		return history.Document{Service: service, Points: []history.Point{}}
	}
	url := serve(t, o)
	response, body := ask(t, "GET", url+"/history?service=shop")
	require.Equal(t, 200, response.StatusCode)
	require.Contains(t, body, `"service": "shop"`)
	require.Contains(t, body, `"points": []`)
	response, body = ask(t, "GET", url+"/history")
	require.Equal(t, 400, response.StatusCode)
	require.Contains(t, body, "/history?service=NAME")
}

// TestStreamsEndWithTheServer: a page that somebody looks at does not hold up the end of
// the process.
func TestStreamsEndWithTheServer(t *testing.T) {
	t.Parallel()
	o := options()
	began := make(chan struct{})
	o.Page = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		close(began)
		<-r.Context().Done()
	})
	server, err := New(o)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx, listener) }()
	response, err := http.Get("http://" + listener.Addr().String() + "/ui/events")
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	<-began
	cancel()
	select {
	case err := <-ended:
		require.NoError(t, err)
	case <-time.After(shutdownTime - time.Second):
		t.Fatal("the stream holds up the server")
	}
}

package testbed_test

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/stretchr/testify/require"
)

func tlsTo(authority *testbed.Authority) *tls.Config {
	return &tls.Config{RootCAs: authority.Pool()}
}

func TestLoadCountsAndKeepsConnections(t *testing.T) {
	t.Parallel()
	backend := start(t, testbed.Options{Name: "old", Hosts: []string{"api.example.com"}})
	var answers atomic.Int64
	load := testbed.Load{
		URL: backend.URL() + "/pay", Method: http.MethodPost, Host: "api.example.com", Body: "abc",
		Header: http.Header{"X-User-Id": {"7"}}, ID: "p", Connections: 4, Requests: 100,
		Each: func(testbed.Answer) { answers.Add(1) },
	}
	report, err := load.Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, 100, report.Sent)
	require.Zero(t, report.Lost(), report.Errors)
	require.Equal(t, map[string]int{"old": 100}, report.Backends)
	require.Equal(t, map[int]int{200: 100}, report.Statuses)
	require.Equal(t, 100, backend.Total())
	require.EqualValues(t, 100, answers.Load())
	require.LessOrEqual(t, report.Connections, 4)
	for _, id := range []string{"p-1", "p-50", "p-100"} {
		require.Equal(t, 1, backend.Count("POST", "/pay", id), id)
	}
	require.Equal(t, "7", backend.Requests()[0].Header.Get("X-User-Id"))
	require.Positive(t, report.Quantile(0.5))
	require.LessOrEqual(t, report.Quantile(0.5), report.Quantile(1))
	require.Positive(t, report.Rate())
	require.Empty(t, load.Header.Get(testbed.IDHeader), "the caller's header is not touched")
}

// TestLoadHidesNothing checks that each way to lose a request is one error per
// request, and that a POST is sent once.
func TestLoadHidesNothing(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]string{
		"close":      "connection closed before the end of the answer: unexpected EOF",
		"reset":      "read: connection reset by peer",
		"reset-body": "read: connection reset by peer",
		"hang":       "i/o timeout",
	} {
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			backend := start(t, testbed.Options{})
			var arrived atomic.Int64
			backend.Answer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if arrived.Add(1)%2 == 1 { // the next request comes on a used connection
					testbed.Do("").ServeHTTP(w, r)
					return
				}
				testbed.Do(script).ServeHTTP(w, r)
			}))
			load := testbed.Load{URL: backend.URL(), Method: http.MethodPost, Body: "a", Requests: 6, Timeout: 300 * time.Millisecond}
			report, err := load.Run(t.Context())
			require.NoError(t, err)
			require.Equal(t, map[string]int{want: 3}, report.Errors)
			require.Equal(t, 3, report.Lost())
			require.Equal(t, map[int]int{200: 3}, report.Statuses)
			require.Equal(t, 6, backend.Total())
			require.Equal(t, 3, report.Connections)
		})
	}
}

func TestLoadToKilledBackend(t *testing.T) {
	t.Parallel()
	backend := start(t, testbed.Options{})
	backend.Kill()
	report, err := testbed.Load{URL: backend.URL(), Requests: 2}.Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]int{"connect: connection refused": 2}, report.Errors)
	require.Zero(t, report.Quantile(0.5))
}

// TestLoadSeesAnIdleClose checks that a connection which the server closed while it
// was idle is opened again, and that no request is lost.
func TestLoadSeesAnIdleClose(t *testing.T) {
	t.Parallel()
	backend := start(t, testbed.Options{})
	revive := func(testbed.Answer) {
		backend.Kill()
		if err := backend.Revive(); err != nil {
			t.Error(err)
		}
	}
	report, err := testbed.Load{URL: backend.URL(), Method: http.MethodPost, Requests: 5, Each: revive}.Run(t.Context())
	require.NoError(t, err)
	require.Zero(t, report.Lost(), report.Errors)
	require.Equal(t, 5, report.Connections)
}

// TestLoadObeysConnectionClose has a server that is late to close the connection.
func TestLoadObeysConnectionClose(t *testing.T) {
	t.Parallel()
	backend := start(t, testbed.Options{})
	backend.Answer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
	})) // the connection stays open until the backend is killed
	report, err := testbed.Load{URL: backend.URL(), Requests: 3, Timeout: time.Second}.Run(t.Context())
	require.NoError(t, err)
	require.Zero(t, report.Lost(), report.Errors)
	require.Equal(t, 3, report.Connections)
}

func TestLoadBounds(t *testing.T) {
	t.Parallel()
	backend := start(t, testbed.Options{})
	report, err := testbed.Load{URL: backend.URL(), Duration: 100 * time.Millisecond, Connections: 2}.Run(t.Context())
	require.NoError(t, err)
	require.Greater(t, report.Sent, 10)
	require.Zero(t, report.Lost(), "requests in flight are completed at the end")
	require.Equal(t, backend.Total(), report.Sent)

	report, err = testbed.Load{URL: backend.URL(), Rate: 200, Requests: 21, Connections: 2}.Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, 21, report.Sent)
	require.GreaterOrEqual(t, report.Elapsed, 100*time.Millisecond, "20 requests after the first, 5 ms apart")
}

// TestLoadAtARateCountsTheWait checks that the requests after a slow answer are late,
// and that their latency shows it.
func TestLoadAtARateCountsTheWait(t *testing.T) {
	t.Parallel()
	backend := start(t, testbed.Options{})
	backend.Answer(testbed.Do("slow/5")) // 100 ms
	report, err := testbed.Load{URL: backend.URL(), Rate: 1000, Requests: 3}.Run(t.Context())
	require.NoError(t, err)
	require.GreaterOrEqual(t, report.Quantile(1), 290*time.Millisecond)
}

func TestLoadOverTLS(t *testing.T) {
	t.Parallel()
	authority, err := testbed.NewAuthority()
	require.NoError(t, err)
	certificate, err := authority.Server("new.example.com")
	require.NoError(t, err)
	backend := start(t, testbed.Options{Name: "new", Certificate: certificate, Hosts: []string{"new.example.com"}})
	load := testbed.Load{URL: backend.URL() + "/do/hints", Host: "new.example.com", TLS: tlsTo(authority), Requests: 5}
	report, err := load.Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]int{"new": 5}, report.Backends, report.Errors)
	require.Equal(t, map[int]int{200: 5}, report.Statuses)
	require.Equal(t, 1, report.Connections)
}

func TestInvalidLoad(t *testing.T) {
	t.Parallel()
	for want, load := range map[string]testbed.Load{
		"would never end": {URL: "http://127.0.0.1:1"},
		"write http://":   {URL: "127.0.0.1:1", Requests: 1},
		"negative":        {URL: "http://127.0.0.1:1", Requests: -1},
		"invalid method":  {URL: "http://127.0.0.1:1", Requests: 1, Method: "A B"},
	} {
		_, err := load.Run(context.Background()) // t.Context() would be a bound
		require.ErrorContains(t, err, want)
	}
}

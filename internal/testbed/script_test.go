package testbed_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/stretchr/testify/require"
)

func TestEcho(t *testing.T) {
	t.Parallel()
	backend := start(t, testbed.Options{Name: "old"})
	response, err := client(t, nil).Post(backend.URL()+"//a%2Fb?", "text/plain", strings.NewReader("abc"))
	require.NoError(t, err)
	defer response.Body.Close()
	echo := decode(t, response.Body)
	require.Equal(t, "old", echo.Backend)
	require.Equal(t, "old", response.Header.Get(testbed.BackendHeader))
	require.Equal(t, "//a%2Fb?", echo.Target)
	require.EqualValues(t, 3, echo.BodyBytes)
	require.Equal(t, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", echo.BodySHA256)
}

func TestStatusByPathAndByAnswer(t *testing.T) {
	t.Parallel()
	backend := start(t, testbed.Options{})
	for path, want := range map[string]int{
		"/": 200, "/do/status/503": 503, "/prefix/do/status/204": 204, "/do/status/1": 501, "/do/nothing": 501,
	} {
		response, _ := get(t, backend.URL()+path)
		require.Equal(t, want, response.StatusCode, path)
	}
	backend.Answer(testbed.Do("status/502"))
	response, body := get(t, backend.URL()+"/do/status/200")
	require.Equal(t, 502, response.StatusCode)
	require.Contains(t, body, `"target":"/do/status/200"`)
	backend.Answer(nil)
	response, _ = get(t, backend.URL()+"/do/status/200")
	require.Equal(t, 200, response.StatusCode)
}

// raw sends one request and gives all bytes of the answer, and the error that ended
// it.
func raw(t *testing.T, backend *testbed.Backend, request string) (string, error) {
	t.Helper()
	conn, err := net.Dial("tcp", backend.Addr())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(5*time.Second)))
	_, err = io.WriteString(conn, request)
	require.NoError(t, err)
	var got bytes.Buffer
	_, err = io.Copy(&got, conn)
	return got.String(), err
}

func TestBrokenAnswers(t *testing.T) {
	t.Parallel()
	backend := start(t, testbed.Options{Name: "new"})
	const request = "POST /do/%s HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"

	got, err := raw(t, backend, fmt.Sprintf(request, "close"))
	require.NoError(t, err, "closed, not reset")
	require.Empty(t, got)
	got, err = raw(t, backend, fmt.Sprintf(request, "reset"))
	require.ErrorContains(t, err, "reset by peer")
	require.Empty(t, got)
	got, err = raw(t, backend, fmt.Sprintf(request, "reset-body"))
	require.ErrorContains(t, err, "reset by peer")
	require.Contains(t, got, "HTTP/1.1 200 OK\r\nX-Testbed-Backend: new\r\n")
	require.Contains(t, got, "half of it")
}

func TestResetOverTLS(t *testing.T) {
	t.Parallel()
	authority, err := testbed.NewAuthority()
	require.NoError(t, err)
	certificate, err := authority.Server("127.0.0.1")
	require.NoError(t, err)
	backend := start(t, testbed.Options{Certificate: certificate})
	_, err = client(t, tlsTo(authority)).Get(backend.URL() + "/do/reset")
	require.ErrorContains(t, err, "reset by peer")
}

func TestHangEndsWithClientAndKill(t *testing.T) {
	t.Parallel()
	backend := start(t, testbed.Options{})
	ended := make(chan struct{}, 2)
	hang := testbed.Do("hang")
	backend.Answer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { ended <- struct{}{}; panic(recover()) }()
		hang.ServeHTTP(w, r)
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, backend.URL(), strings.NewReader("abc"))
	require.NoError(t, err)
	_, err = client(t, nil).Do(request)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	receive(t, ended)

	failed := make(chan error, 1)
	go func() {
		_, err := client(t, nil).Get(backend.URL())
		failed <- err
	}()
	require.Eventually(t, func() bool { return backend.Total() == 2 }, 5*time.Second, time.Millisecond)
	backend.Kill()
	require.Error(t, receive(t, failed))
	receive(t, ended)
}

// TestKillEndsTheContext has a handler that leaves the body unread, for which net/http
// alone does not end the context.
func TestKillEndsTheContext(t *testing.T) {
	t.Parallel()
	backend := start(t, testbed.Options{})
	begun, ended := make(chan struct{}), make(chan struct{})
	backend.Answer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
		close(ended)
	}))
	conn, err := net.Dial("tcp", backend.Addr())
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n")
	require.NoError(t, err)
	receive(t, begun)
	backend.Kill()
	receive(t, ended)
}

func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case value := <-from:
		return value
	case <-time.After(5 * time.Second):
		require.FailNow(t, "nothing came in 5 s")
		panic("unreachable")
	}
}

func TestStreams(t *testing.T) {
	t.Parallel()
	backend := start(t, testbed.Options{})
	response, err := client(t, nil).Get(backend.URL() + "/do/sse/3")
	require.NoError(t, err)
	defer response.Body.Close()
	lines, begun := bufio.NewReader(response.Body), time.Now()
	first, err := lines.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "data: 0\n", first)
	rest, err := io.ReadAll(lines)
	require.NoError(t, err)
	require.Equal(t, "\ndata: 1\n\ndata: 2\n\n", string(rest))
	require.Greater(t, time.Since(begun), 20*time.Millisecond, "the rest comes later than the first event")

	response, body := get(t, backend.URL()+"/do/slow/2")
	require.Equal(t, []string{"chunked"}, response.TransferEncoding)
	require.Equal(t, "chunk 0\nchunk 1\n", body)
	response, body = get(t, backend.URL()+"/do/big/100001")
	require.Len(t, body, 100001)
	require.EqualValues(t, 100001, response.ContentLength)
}

func TestWebsocketEndsWithAKill(t *testing.T) {
	t.Parallel()
	backend := start(t, testbed.Options{})
	conn, response, err := websocket.DefaultDialer.DialContext(t.Context(), "ws://"+backend.Addr()+"/do/websocket", nil)
	require.NoError(t, err)
	defer conn.Close()
	require.Equal(t, http.StatusSwitchingProtocols, response.StatusCode)
	require.NoError(t, conn.WriteMessage(websocket.TextMessage, []byte("hello")))
	_, message, err := conn.ReadMessage()
	require.NoError(t, err)
	require.Equal(t, "hello", string(message))
	backend.Kill()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(5*time.Second)))
	_, _, err = conn.ReadMessage()
	require.NotContains(t, err.Error(), "timeout", "a kill ends hijacked connections too")
}

func TestContinue(t *testing.T) {
	t.Parallel()
	backend := start(t, testbed.Options{})
	const head = "POST %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n%s"
	got, err := raw(t, backend, fmt.Sprintf(head, "/do/unread", ""))
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(got, "HTTP/1.1 417"), got)
	got, err = raw(t, backend, fmt.Sprintf(head, "/", "abc"))
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(got, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200"), got)
}

func TestEarlyHints(t *testing.T) {
	t.Parallel()
	backend := start(t, testbed.Options{})
	var seen []int
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
		seen = append(seen, code)
		return nil
	}}
	request, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodGet, backend.URL()+"/do/hints", nil)
	require.NoError(t, err)
	response, err := client(t, nil).Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, []int{103}, seen)
}

func TestRedirectsAndCookies(t *testing.T) {
	t.Parallel()
	backend := start(t, testbed.Options{})
	response, _ := get(t, backend.URL()+"/do/redirect/own")
	require.Equal(t, 302, response.StatusCode)
	require.Equal(t, backend.URL()+"/landed?by=redirect", response.Header.Get("Location"))
	require.Equal(t, "5; url="+backend.URL()+"/landed?by=redirect", response.Header.Get("Refresh"))
	response, _ = get(t, backend.URL()+"/do/redirect/path")
	require.Equal(t, "/landed?by=redirect", response.Header.Get("Location"))
	response, _ = get(t, backend.URL()+"/do/redirect/to?url=https://elsewhere.example/")
	require.Equal(t, "https://elsewhere.example/", response.Header.Get("Location"))
	response, _ = get(t, backend.URL()+"/do/cookie")
	require.Contains(t, response.Header.Get("Set-Cookie"), "Domain=127.0.0.1;")
	response, _ = get(t, backend.URL()+"/do/cookie/a.example.com")
	require.Contains(t, response.Header.Get("Set-Cookie"), "Domain=a.example.com;")
}

func TestGzipRangeHeadTrailer(t *testing.T) {
	t.Parallel()
	backend := start(t, testbed.Options{Name: "old"})
	response, body := get(t, backend.URL()+"/do/gzip")
	require.Equal(t, "gzip", response.Header.Get("Content-Encoding"))
	unpacked, err := gzip.NewReader(strings.NewReader(body))
	require.NoError(t, err)
	require.Equal(t, "old", decode(t, unpacked).Backend)

	got, err := raw(t, backend, "GET /do/range HTTP/1.1\r\nHost: a\r\nRange: bytes=2-4\r\nConnection: close\r\n\r\n")
	require.NoError(t, err)
	require.Contains(t, got, "206 Partial Content")
	require.True(t, strings.HasSuffix(got, "\r\n\r\n"+testbed.Page[2:5]), got)
	got, err = raw(t, backend, "GET /do/range HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"page-1\"\r\nConnection: close\r\n\r\n")
	require.NoError(t, err)
	require.Contains(t, got, "304 Not Modified")

	got, err = raw(t, backend, "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	require.NoError(t, err)
	require.True(t, strings.HasSuffix(got, "\r\n\r\n"), "HEAD has no body")
	require.Regexp(t, `Content-Length: [1-9]`, got)
	response, _ = get(t, backend.URL()+"/do/trailer")
	require.Equal(t, "at the end", response.Trailer.Get("X-Testbed-Trailer"))
}

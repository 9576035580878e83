package pageserver

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/page"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

const text = `services:
- name: shop
  old_host: shop.example.com
  old_backend: a:80
  new_host: b
  new_backend: b:80
  migration:
    enabled: true
    strategy: user_hash
    hash_key: cookie:user
    percentage: 100
    ramp: {steps: [5, 100]}
  canary: {header_rules: [{header: X-Side, value: new, target: new_cluster}]}
`

// source is a state that a test sets.
type source struct {
	table  *migration.Table
	phase  status.Phase
	share  float64
	asked  atomic.Int64
	failed atomic.Bool
}

func (s *source) Snapshot(context.Context) (page.Snapshot, error) {
	s.asked.Add(1)
	if s.failed.Load() {
		return page.Snapshot{}, errors.New("the API server\nis gone")
	}
	return page.Snapshot{Place: "test", Headline: "ready", At: time.Now(), Services: []page.Service{{Service: status.Service{
		Name: "shop", OldHost: "shop.example.com", PathPrefix: "/", Phase: s.phase, Share: s.share, Ramp: &status.Ramp{Ceiling: 100, Position: s.share},
	}}}}, nil
}

func (s *source) Detail(context.Context, *page.Service) page.Detail {
	return page.Detail{JournalNote: "no journal"}
}

func (s *source) Table(context.Context) (*migration.Table, error) { return s.table, nil }

func start(t *testing.T, interval time.Duration) (*source, string) {
	t.Helper()
	table, err := config.Load("c", []byte(text))
	require.NoError(t, err)
	from := &source{table: table, phase: status.Migrating, share: 5}
	server := httptest.NewServer(New(Options{Source: from, Place: "test", Interval: interval, DetailInterval: interval, Allow: OwnAddress}))
	t.Cleanup(server.Close)
	return from, server.URL
}

func get(t *testing.T, address string) (*http.Response, string) {
	t.Helper()
	return do(t, http.MethodGet, address, "")
}

func do(t *testing.T, method, address, host string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, address, nil)
	require.NoError(t, err)
	request.Host = host
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response, string(body)
}

// TestForeignHost: a name that a foreign website could point here is refused, on every
// path.
func TestForeignHost(t *testing.T) {
	t.Parallel()
	from, address := start(t, time.Minute)
	for _, path := range []string{"/", "/ui/events", "/ui/explain?host=shop.example.com", "/ui/app.js", "/ui/app.css"} {
		for _, host := range []string{"evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "127.0.0.1x", "[::1].evil"} {
			response, body := do(t, http.MethodGet, address+path, host)
			require.Equal(t, http.StatusMisdirectedRequest, response.StatusCode, "%s %s", path, host)
			require.NotContains(t, body, "shop")
		}
	}
	require.Zero(t, from.asked.Load())
	for _, host := range []string{"localhost", "LOCALHOST:80", "127.0.0.1:1", "[::1]:8080", "[::1]", "10.1.2.3"} {
		response, _ := do(t, http.MethodGet, address+"/", host)
		require.Equal(t, http.StatusOK, response.StatusCode, host)
	}
}

func TestReadOnlyAndClosed(t *testing.T) {
	t.Parallel()
	_, address := start(t, time.Minute)
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions} {
		response, _ := do(t, method, address+"/ui/explain", "")
		require.Equal(t, http.StatusMethodNotAllowed, response.StatusCode)
	}
	response, body := get(t, address)
	policy := response.Header.Get("Content-Security-Policy")
	require.True(t, strings.HasPrefix(policy, "default-src 'none';"))
	require.NotContains(t, policy, "unsafe")
	require.Contains(t, policy, "frame-ancestors 'none'")
	require.Equal(t, "nosniff", response.Header.Get("X-Content-Type-Options"))
	require.Empty(t, response.Header.Get("Access-Control-Allow-Origin"))
	require.NotContains(t, body, "style=")
	require.Contains(t, body, "5 % of 100 %")
	response, body = get(t, address+"/?service=none")
	require.Equal(t, http.StatusNotFound, response.StatusCode)
	require.Contains(t, body, "There is no service &#34;none&#34;.")
	response, body = get(t, address+"/?service=shop")
	require.Equal(t, http.StatusOK, response.StatusCode)
	require.Contains(t, body, "no journal")
}

func TestExplain(t *testing.T) {
	t.Parallel()
	from, address := start(t, time.Nanosecond)
	ask := func(pairs ...string) string {
		values := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			values.Set(pairs[i], pairs[i+1])
		}
		response, body := get(t, address+"/ui/explain?"+values.Encode())
		require.Equal(t, http.StatusOK, response.StatusCode)
		return body
	}
	require.Contains(t, ask("host", "shop.example.com", "headers", "Accept: a=b\nx-side: new\n"), "<strong>new</strong>")
	require.Contains(t, ask("host", "shop.example.com", "headers", "X-Side=new"), "header_rule[0]")
	user := ask("host", "shop.example.com", "cookies", "a=b; user=alice")
	require.Contains(t, user, "<strong>old</strong>", "the ramp is at 5 %%: %s", user)
	require.Contains(t, user, "those below 5 % go to new")
	from.share = 100
	require.Contains(t, ask("host", "shop.example.com", "cookies", "user=alice"), "<strong>new</strong>")
	from.phase = status.FallenBack
	require.Contains(t, ask("host", "shop.example.com", "headers", "X-Side: new"), "tripped")
	from.phase = status.Bypassed
	require.Contains(t, ask("host", "shop.example.com", "headers", "X-Side: new"), "points past the proxy")
	require.Contains(t, ask("host", "other.example.com"), "unknown_host")
	require.Contains(t, ask("host", "shop.example.com", "ip", "<b>"), "&lt;b&gt;")
	require.Contains(t, ask("host", ""), "host is missing")
	_, whole := get(t, address+"/?service=shop&host=shop.example.com&headers=X-Side:+new&path=%2Fa")
	require.Contains(t, whole, `<p class="side">`, "without a script the form loads the page")
	require.Contains(t, whole, ">X-Side: new</textarea>")
}

// stream reads events until the test ends.
type stream struct {
	*bufio.Reader
	body io.Closer
}

func open(t *testing.T, address string) stream {
	t.Helper()
	response, err := http.Get(address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = response.Body.Close() })
	require.Equal(t, "text/event-stream", response.Header.Get("Content-Type"))
	return stream{bufio.NewReader(response.Body), response.Body}
}

func (s stream) event(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	for {
		line, err := s.ReadString('\n')
		require.NoError(t, err)
		if line == "\n" {
			return text.String()
		}
		text.WriteString(line)
	}
}

// TestNobodyLooks: without a viewer the source is not asked; all viewers share a reading.
func TestNobodyLooks(t *testing.T) {
	t.Parallel()
	from, address := start(t, 50*time.Millisecond)
	require.Zero(t, from.asked.Load())
	var all []stream
	began := time.Now()
	for range maxStreams {
		all = append(all, open(t, address+"/ui/events"))
	}
	for range 5 {
		for _, one := range all {
			require.Contains(t, one.event(t), `"name":"shop"`)
		}
	}
	readings := float64(from.asked.Load())
	require.LessOrEqual(t, readings, time.Since(began).Seconds()/0.0375+2, "one reading for 16 viewers")
	require.Contains(t, open(t, address+"/ui/events").event(t), "16 pages are kept up to date already")

	for _, one := range all {
		require.NoError(t, one.body.Close())
	}
	var before int64
	require.Eventually(t, func() bool {
		now := from.asked.Load()
		defer func() { before = now }()
		return now == before
	}, 10*time.Second, 200*time.Millisecond, "nobody looks any more")
	require.Contains(t, open(t, address+"/ui/events").event(t), `"name":"shop"`, "there is room again")
}

func TestTrouble(t *testing.T) {
	t.Parallel()
	from, address := start(t, 20*time.Millisecond)
	events := open(t, address+"/ui/events?service=shop")
	require.Contains(t, events.event(t), "no journal")
	from.failed.Store(true)
	require.Eventually(t, func() bool {
		return strings.HasPrefix(events.event(t), "event: trouble\ndata: the API server is gone\n")
	}, 10*time.Second, time.Millisecond)
	response, body := get(t, address)
	require.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
	require.Contains(t, body, "The state cannot be read")
	from.failed.Store(false)
	require.Eventually(t, func() bool { return strings.Contains(events.event(t), "no journal") }, 10*time.Second, time.Millisecond)
}

// TestStreamsOutliveTheTimeouts: the limits of a request are not those of a stream.
func TestStreamsOutliveTheTimeouts(t *testing.T) {
	t.Parallel()
	from := &source{phase: status.Migrating}
	server := httptest.NewUnstartedServer(New(Options{Source: from, Interval: 50 * time.Millisecond, DetailInterval: time.Second, Allow: OwnAddress}))
	server.Config.ReadTimeout, server.Config.WriteTimeout = 300*time.Millisecond, 300*time.Millisecond
	server.Start()
	t.Cleanup(server.Close)
	events := open(t, server.URL+"/ui/events")
	for began := time.Now(); time.Since(began) < time.Second; {
		require.Contains(t, events.event(t), `"name":"shop"`)
	}
}

package main

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/e2e/proxyprocess"
	"github.com/migration-proxy/migration-proxy/e2e/wire"
	"github.com/migration-proxy/migration-proxy/internal/golden"
)

// reasons has, for each header that may differ, why. The test fails on any other
// difference. A key begins with the side that sees it: old, new or client.
var reasons = map[string]string{
	"new Host":                 "new's own host; the client's is in X-Forwarded-Host",
	"old Te":                   "a header for one hop; nginx ends it",
	"new Te":                   "a header for one hop; nginx ends it",
	"new X-Forwarded-Host":     "the host of the client, because Host is new's own",
	"new Migration-Proxy-Loop": "a request that comes back is recognized",
	"new Origin":               "applications compare it with Host (rewrite_origin)",
	"new Referer":              "applications compare it with Host (rewrite_origin)",
}

const (
	pageHead = "# What old, new and clients see\n\n" +
		"Made by `TestTransparency` in `e2e/actor` (`make golden`), with the real nginx and with the\n" +
		"personas of [e2e.md](e2e.md#the-actors): a client (127.0.0.2) sends a POST with many headers to the\n" +
		"controller (127.0.0.3). *Without us* the controller sends it to old; *at 0 %* and *at 100 %* it sends\n" +
		"it to the migration proxy. The test fails on a difference that has no reason here. Answers with the\n" +
		"statuses 200, 301, 404 and 500 have the same status and the same headers in all three ways, unless\n" +
		"a table says otherwise.\n"
	clientAddress     = "127.0.0.2"
	controllerAddress = "127.0.0.3"
)

// recorder is a backend that keeps the last request's headers.
type recorder struct {
	mu   sync.Mutex
	last http.Header
}

func (b *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	b.last = r.Header.Clone()
	b.last.Set("Host", r.Host)
	b.last.Set("(request line)", r.Method+" "+r.RequestURI+" "+r.Proto)
	if r.ContentLength >= 0 {
		b.last.Set("Content-Length", fmt.Sprint(r.ContentLength))
	}
	b.mu.Unlock()
	header := w.Header()
	for name, values := range answerHeaders {
		header[name] = values
	}
	w.WriteHeader(status(r.URL.Query().Get("status")))
	_, _ = w.Write([]byte("answer"))
}

func (b *recorder) take() http.Header {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last
}

var answerHeaders = http.Header{
	"Server": {"app/1.0"}, "X-Powered-By": {"php"}, "Set-Cookie": {"a=1; Path=/", "b=2; HttpOnly"}, "Etag": {`"1"`},
	"Cache-Control": {"private, max-age=0"}, "Content-Type": {"text/plain; charset=utf-8"}, "Vary": {"Cookie"},
	"Location": {"http://shop.example.com/next"}, "Content-Disposition": {"inline"}, "X-Under_score": {"1"},
	"Last-Modified": {"Sat, 01 Jan 2000 00:00:00 GMT"}, "Retry-After": {"7"}, "X-Accel-Expires": {"5"}, "X-Accel-Buffering": {"no"},
	"Date": {"Sat, 01 Jan 2000 00:00:00 GMT"},
}

var requestHeaders = http.Header{
	"User-Agent": {"browser/1.0"}, "Accept": {"*/*"}, "Accept-Encoding": {"gzip, br"}, "Cookie": {"session=1; b=2"},
	"Authorization": {"Bearer token"}, "Referer": {"http://shop.example.com/"}, "Origin": {"http://shop.example.com"},
	"X-Forwarded-For": {"203.0.113.7"}, "Forwarded": {"for=203.0.113.7"}, "Via": {"1.1 cdn"}, "X-Custom": {"1"}, "Under_score": {"1"},
	"Te": {"trailers"}, "Cache-Control": {"no-cache"}, "If-None-Match": {`"2"`}, "Range": {"bytes=0-5"}, "X-Http-Method-Override": {"PUT"},
	"Content-Type": {"application/json"}, "Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
}

func status(text string) int {
	code := http.StatusOK
	_, _ = fmt.Sscan(text, &code)
	return code
}

// seenExchange is one request as the backend saw it, and its answer as the client saw it.
type seenExchange struct {
	request, answer http.Header
	status          int
}

// through sends a request through a persona to an endpoint.
func through(t *testing.T, of, endpoint, target string, b *recorder) seenExchange {
	t.Helper()
	one := newFront(wire.Class{Name: class, Persona: of})
	one.forward.transport.DialContext = from(controllerAddress)
	made := withServices("old").add("a", "shop.example.com", "/", "old").model(of)
	made.upstreams["shop-old-80"] = upstream{endpoints: []netip.AddrPort{netip.MustParseAddrPort(endpoint)}}
	one.serve(made)
	server := httptest.NewServer(one)
	defer server.Close()
	defer one.forward.closeIdle()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+target, strings.NewReader("{}"))
	require.NoError(t, err)
	request.Header, request.Host = requestHeaders.Clone(), "shop.example.com"
	answer, err := (&http.Transport{DialContext: from(clientAddress), DisableCompression: true}).RoundTrip(request)
	require.NoError(t, err)
	defer answer.Body.Close()
	answer.Header.Set("Content-Length", fmt.Sprint(answer.ContentLength))
	return seenExchange{b.take(), answer.Header, answer.StatusCode}
}

// from dials from a local address, so that all parts have addresses of their own.
func from(address string) func(ctx context.Context, network, to string) (net.Conn, error) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}, Timeout: time.Minute}
	return dialer.DialContext
}

// loopID is the hash of the backends in Migration-Proxy-Loop; the test's have random ports.
var loopID = regexp.MustCompile(`[0-9a-f]{16}/`)

// TestTransparency compares what old, new and the client see with and without the proxy,
// and writes docs/controllers.md.
func TestTransparency(t *testing.T) {
	t.Parallel()
	program, err := proxyprocess.Build(t.TempDir())
	require.NoError(t, err)
	old, moved := &recorder{}, &recorder{}
	oldServer, newServer := httptest.NewServer(old), httptest.NewServer(moved)
	t.Cleanup(func() { oldServer.Close(); newServer.Close() })
	config := func(percent int) string {
		return fmt.Sprintf(`global: {trusted_proxies: [%s]} # without a cluster, the proxy must know the controller
services:
  - name: shop
    old_host: shop.example.com
    old_backend: %s
    new_host: shop.new.example.com
    new_backend: %s
    migration: {enabled: true, percentage: %d}
`, controllerAddress, oldServer.Listener.Addr(), newServer.URL, percent)
	}
	atZero, atAll := proxyprocess.Start(t, program, config(0)).Traffic, proxyprocess.Start(t, program, config(100)).Traffic
	var page strings.Builder
	page.WriteString(pageHead)
	for _, of := range []string{wire.IngressNginx, wire.Traefik, wire.HAProxy} {
		fmt.Fprintf(&page, "\n## Behind %s\n", of)
		for _, code := range []int{200, 301, 404, 500} {
			target := fmt.Sprintf("/a%%20b/../c?status=%d&x=1", code)
			direct := through(t, of, oldServer.Listener.Addr().String(), target, old)
			zero, all := through(t, of, atZero, target, old), through(t, of, atAll, target, moved)
			require.Equal(t, code, direct.status)
			require.Equal(t, code, zero.status, "%s: at 0 %%", of)
			require.Equal(t, code, all.status, "%s: at 100 %%", of)
			answers := compare(t, of, [2]string{"client", "client"}, direct.answer, zero.answer, all.answer)
			require.Empty(t, answers, "%s: status %d", of, code)
			if rows := compare(t, of, [2]string{"old", "new"}, direct.request, zero.request, all.request); code == http.StatusOK {
				page.WriteString(rows)
				fmt.Fprintf(&page, "\nNot changed: %s.\n", strings.Join(unchanged(direct.request, zero.request, all.request), ", "))
			}
		}
	}
	golden.Check(t, "../../docs/controllers.md", loopID.ReplaceAll([]byte(page.String()), []byte("ID/")))
}

// compare makes the table of the headers that differ; "" if there are none. sides are those
// that see zero and all.
func compare(t *testing.T, of string, sides [2]string, direct, zero, all http.Header) string {
	t.Helper()
	rows := ""
	for _, name := range namesOf(direct, zero, all) {
		var why []string
		for i, header := range []http.Header{zero, all} {
			if cell(name, header) == cell(name, direct) {
				continue
			}
			reason := reasons[sides[i]+" "+name]
			require.NotEmpty(t, reason, "behind %s %s sees %s: %s, and without us %s", of, sides[i], name, cell(name, header), cell(name, direct))
			why = append(why, sides[i]+": "+reason)
		}
		if len(why) > 0 {
			rows += fmt.Sprintf("| %s | %s | %s | %s | %s |\n", name, cell(name, direct), cell(name, zero), cell(name, all), strings.Join(why, "; "))
		}
	}
	if rows == "" {
		return ""
	}
	return "\n| header | old without us | old at 0 % | new at 100 % | why |\n|---|---|---|---|---|\n" + rows
}

func namesOf(all ...http.Header) []string {
	names := map[string]bool{}
	for _, one := range all {
		for name := range one {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// unchanged names the headers that are the same everywhere.
func unchanged(direct, zero, all http.Header) []string {
	return slices.DeleteFunc(namesOf(direct, zero, all), func(name string) bool {
		return cell(name, direct) != cell(name, zero) || cell(name, direct) != cell(name, all)
	})
}

// cell gives the values of a header, without what is random.
func cell(name string, header http.Header) string {
	values := header[name]
	switch {
	case values == nil:
		return "none"
	case name == "X-Request-Id":
		return "random"
	}
	return "`" + strings.Join(values, "`, `") + "`"
}

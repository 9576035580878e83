package behavior

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy/accesslog"
	"github.com/migration-proxy/migration-proxy/proxy/weights"
)

// origin is a backend that answers with the headers that request header X-Answer has,
// separated by "|", the status of X-Status, and a number that grows with each request.
type origin struct {
	side  string
	asked atomic.Int64
}

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for _, line := range strings.Split(r.Header.Get("X-Answer"), "|") {
		if name, value, ok := strings.Cut(line, ": "); ok {
			w.Header()[http.CanonicalHeaderKey(name)] = append(w.Header()[http.CanonicalHeaderKey(name)], value)
		}
	}
	body := fmt.Sprintf("%s-%d", o.side, o.asked.Add(1))
	if size, err := strconv.Atoi(r.Header.Get("X-Size")); err == nil {
		body += strings.Repeat("x", size-len(body))
	}
	if r.Header.Get("X-Chunked") == "" {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	if status, err := strconv.Atoi(r.Header.Get("X-Status")); err == nil {
		w.WriteHeader(status)
	}
	_, _ = w.Write([]byte(body[:1]))
	_ = http.NewResponseController(w).Flush()
	_, _ = w.Write([]byte(body[1:]))
}

// cacheRig is a proxy before two origins. Its services are kept (cache: {}), timed (with
// a ttl of an hour), cookies, sticky, bare (no fallback) and plain (no cache).
type cacheRig struct {
	*rig
	old, new *origin
	killNew  func()
}

const migrateAll = "    migration: {enabled: true, percentage: 100}\n"

func startCacheRig(t *testing.T) cacheRig {
	oldBackend, newBackend := startBackend(t, testbed.Options{Name: "old"}), startBackend(t, testbed.Options{Name: "new"})
	old, new := &origin{side: "old"}, &origin{side: "new"}
	oldBackend.Answer(old)
	newBackend.Answer(new)
	text := "global: {debug_headers: true, cache_size: 8m}\nservices:"
	for name, more := range map[string]string{
		"kept": migrateAll + "    cache: {}\n", "timed": migrateAll + "    cache: {ttl: 1h}\n",
		"cookies": migrateAll + "    cache: {cookies: true}\n", "sticky": stickyService(50, "") + "    cache: {}\n",
		"bare":  migrateAll + "    cache: {}\n    fallback: {enabled: false}\n",
		"plain": migrateAll, "user": "    migration: {enabled: true, strategy: user_hash, hash_key: \"header:X-Tenant\", percentage: 100}\n    cache: {}\n",
		"zero":   "    migration: {enabled: true, percentage: 0}\n    cache: {}\n",
		"listed": migrateAll + "    cache: {}\n    fallback: {on_status: [500, 503]}\n",
	} {
		text += serviceText(name, oldBackend.URL(), newBackend.URL(), more)
	}
	return cacheRig{startRig(t, loadTable(t, text), nil), old, new, newBackend.Kill}
}

// ask sends one request; more are header lines without their ends. Two paths never meet.
func (c cacheRig) ask(t *testing.T, line, service string, more ...string) message {
	headers := ""
	for _, header := range more {
		if header != "" {
			headers += header + "\r\n"
		}
	}
	answer, err := sendOnce(c.params.Listen.String(), line+" HTTP/1.1\r\nHost: "+service+".example.com\r\n"+headers+"\r\n")
	require.NoError(t, err)
	return answer
}

const fresh = "X-Answer: Cache-Control: max-age=600"

// TestCacheKeepsWhatMayBeKept: the same answer comes again without a request to the
// backend, as the backend sent it.
func TestCacheKeepsWhatMayBeKept(t *testing.T) {
	t.Parallel()
	c := startCacheRig(t)
	for name, k := range map[string]struct {
		service string
		more    []string
	}{
		"max-age":              {"kept", []string{fresh}},
		"s-maxage":             {"kept", []string{"X-Answer: Cache-Control: s-maxage=9, max-age=0"}},
		"expires":              {"kept", []string{"X-Answer: Expires: Fri, 01 Jan 2038 00:00:00 GMT"}},
		"chunked":              {"kept", []string{fresh, "X-Chunked: 1"}},
		"404":                  {"kept", []string{fresh, "X-Status: 404"}},
		"301":                  {"kept", []string{fresh, "X-Status: 301"}},
		"nothing said, ttl":    {"timed", nil},
		"cookie, and said so":  {"cookies", []string{fresh, "Cookie: a=b"}},
		"all old":              {"zero", []string{fresh}},
		"without fallback":     {"bare", []string{fresh}},
		"the sticky cookie":    {"sticky", []string{fresh, "Cookie: migration-proxy=1234"}},
		"large":                {"kept", []string{fresh, "X-Size: 1000000"}},
		"Vary on what differs": {"kept", []string{fresh + "|Vary: Accept-Language", "Accept-Language: de"}},
	} {
		path := "GET /" + strings.ReplaceAll(name, " ", "-")
		first := c.ask(t, path, k.service, k.more...)
		asked := c.old.asked.Load() + c.new.asked.Load()
		second := c.ask(t, path, k.service, k.more...)
		require.Equal(t, asked, c.old.asked.Load()+c.new.asked.Load(), name)
		require.Equal(t, []string{"MISS"}, first.values("X-Migration-Cache"), name)
		require.Equal(t, []string{"HIT"}, second.values("X-Migration-Cache"), name)
		require.Equal(t, first.Body, second.Body, name)
		require.Equal(t, first.Start, second.Start, name)
		for _, header := range []string{"Date", "Cache-Control", "Expires", "Vary", "Content-Type"} {
			require.Equal(t, first.values(header), second.values(header), name)
		}
		head := c.ask(t, "HEAD"+strings.TrimPrefix(path, "GET"), k.service, k.more...)
		require.Equal(t, []string{"HIT"}, head.values("X-Migration-Cache"), name)
	}
}

// TestCacheKeepsNothingElse: every request reaches the backend.
func TestCacheKeepsNothingElse(t *testing.T) {
	t.Parallel()
	c := startCacheRig(t)
	for name, k := range map[string]struct {
		service string
		more    []string
	}{
		"nothing said":               {"kept", nil},
		"no cache":                   {"plain", []string{fresh}},
		"no-store":                   {"timed", []string{"X-Answer: Cache-Control: no-store"}},
		"private":                    {"timed", []string{"X-Answer: Cache-Control: max-age=60, private"}},
		"no-cache":                   {"timed", []string{"X-Answer: Cache-Control: no-cache"}},
		"no-store in a second line":  {"timed", []string{fresh + "|Cache-Control: no-store"}},
		"max-age=0":                  {"timed", []string{"X-Answer: Cache-Control: max-age=0"}},
		"expired":                    {"timed", []string{"X-Answer: Expires: Thu, 01 Jan 1970 00:00:00 GMT"}},
		"Expires: 0":                 {"timed", []string{"X-Answer: Expires: 0"}},
		"Pragma":                     {"timed", []string{"X-Answer: Pragma: No-Cache"}},
		"Set-Cookie":                 {"timed", []string{fresh + "|Set-Cookie: a=b"}},
		"Vary: *":                    {"timed", []string{fresh + "|Vary: *"}},
		"Vary with a star":           {"timed", []string{fresh + "|Vary: Accept, *"}},
		"500":                        {"timed", []string{fresh, "X-Status: 500"}},
		"302":                        {"timed", []string{fresh, "X-Status: 302"}},
		"more than 10 MB":            {"kept", []string{fresh, "X-Size: 10000001"}},
		"ttl and unknown length":     {"timed", []string{"X-Chunked: 1"}},
		"Authorization":              {"timed", []string{fresh + ", public", "Authorization: Basic YTpi"}},
		"Cookie":                     {"timed", []string{fresh, "Cookie: a=b"}},
		"Cookie and a sticky cookie": {"sticky", []string{fresh, "Cookie: migration-proxy=1234; a=b"}},
		"API key":                    {"cookies", []string{fresh, "X-Api-Key: 1"}},
		"user of the hash key":       {"user", []string{fresh, "X-Tenant: 1"}},
		"reload of a browser":        {"kept", []string{fresh, "Cache-Control: no-cache", "Pragma: no-cache"}},
		"event stream":               {"timed", []string{"Accept: text/event-stream"}},
		"body":                       {"timed", []string{fresh, "Content-Length: 0"}},
		"another method":             {"timed", []string{fresh, "X-HTTP-Method-Override: DELETE"}},
		"range":                      {"timed", []string{fresh, "Range: bytes=0-1"}},
		"If-Match":                   {"timed", []string{fresh, `If-Match: "a"`}},
	} {
		path := "GET /" + strings.NewReplacer(" ", "-", "*", "star").Replace(name)
		first := c.ask(t, path, k.service, k.more...)
		second := c.ask(t, path, k.service, k.more...)
		require.NotEqual(t, first.Body, second.Body, name)
		require.NotContains(t, append(first.values("X-Migration-Cache"), second.values("X-Migration-Cache")...), "HIT", name)
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
		first := c.ask(t, method+" /m", "timed", fresh, "Content-Length: 0")
		require.NotEqual(t, first.Body, c.ask(t, method+" /m", "timed", fresh, "Content-Length: 0").Body, method)
	}
}

// TestCacheKeepsApart: what belongs to different requests, above all to different
// sides, is not mixed up; also after a change of the share and a trip.
func TestCacheKeepsApart(t *testing.T) {
	t.Parallel()
	c := startCacheRig(t)
	seen := map[string]string{}
	for _, request := range [][]string{
		{"GET /a", "kept", fresh}, {"GET /a?", "kept", fresh}, {"GET /a?b", "kept", fresh}, {"GET /%61", "kept", fresh},
		{"GET /a", "timed", fresh}, {"GET /a", "kept", fresh, "X-Forwarded-Proto: https"}, {"GET /a", "kept", fresh, "X-Forwarded-Host: evil.example"},
		{"GET /a", "kept", fresh, "X-Forwarded-Port: 81"}, {"GET /a", "kept", fresh, "X-Forwarded-Host: evil.example\t81"},
		{"GET /a", "kept", fresh, "X-Forwarded-Proto: https, http"}, {"GET /a", "kept", fresh, "Forwarded: for=192.0.2.1;host=evil.example"},
	} {
		answer := c.ask(t, request[0], request[1], request[2:]...)
		other, known := seen[answer.Body]
		require.False(t, known, "%v and %v", request, other)
		seen[answer.Body] = fmt.Sprint(request)
	}

	shared := c.ask(t, "GET /f", "kept", fresh, "Forwarded: for=192.0.2.1").Body
	require.Equal(t, shared, c.ask(t, "GET /f", "kept", fresh, "Forwarded: for=192.0.2.2").Body, "only the client differs")

	body := func() string { return c.ask(t, "GET /sides", "kept", fresh).Body }
	new := body()
	require.Contains(t, new, "new-")
	for _, state := range []weights.State{{Enabled: true}, {Enabled: true, Share: 10000, Tripped: true}, {Share: 10000}} {
		require.NoError(t, c.store.Apply("kept", state))
		require.Contains(t, body(), "old-", "%+v", state)
	}
	c.setShare(t, "kept", migration.FullShare)
	require.Equal(t, new, body())
	answer, err := sendOnce(c.params.ListenNew.String(), "GET /sides HTTP/1.1\r\nHost: kept.example.com\r\n\r\n")
	require.NoError(t, err)
	require.Equal(t, new, answer.Body)
}

// TestCacheIsOffWithoutItsFile: the agent switches it off while the disk has little room.
func TestCacheIsOffWithoutItsFile(t *testing.T) {
	t.Parallel()
	c := startCacheRig(t)
	kept := c.ask(t, "GET /off", "kept", fresh).Body
	require.NoError(t, os.Remove(filepath.Join(c.params.RuntimeDir, "cache-on")))
	require.NotEqual(t, kept, c.ask(t, "GET /off", "kept", fresh).Body)
	require.Empty(t, c.ask(t, "GET /off", "kept", fresh).value("X-Migration-Cache"))
	require.NoError(t, os.WriteFile(filepath.Join(c.params.RuntimeDir, "cache-on"), nil, 0o644))
	require.Equal(t, kept, c.ask(t, "GET /off", "kept", fresh).Body)
}

// TestCacheTranslates: what new says about itself is translated in a hit as in a miss.
func TestCacheTranslates(t *testing.T) {
	t.Parallel()
	c := startCacheRig(t)
	for _, service := range []string{"kept", "user"} {
		said := fresh + "|Location: http://" + newHost + "/x|Access-Control-Allow-Origin: http://" + newHost + "|Content-Location: http://" + newHost + "/y"
		for _, result := range []string{"MISS", "HIT"} {
			answer := c.ask(t, "GET /t", service, said, "X-Status: 301")
			require.Equal(t, result, answer.value("X-Migration-Cache"))
			own := "http://" + service + ".example.com"
			require.Equal(t, []string{own + "/x"}, answer.values("Location"), result)
			require.Equal(t, []string{own + "/y"}, answer.values("Content-Location"), result)
			require.Equal(t, []string{own}, answer.values("Access-Control-Allow-Origin"), result)
		}
	}
}

// TestCacheVaries: answers that vary are kept for each value, whatever the number of
// lines of Vary.
func TestCacheVaries(t *testing.T) {
	t.Parallel()
	c := startCacheRig(t)
	const vary = fresh + "|Vary: Origin|Vary: Accept-Encoding"
	variants := [][]string{{vary}, {vary, "Origin: a"}, {vary, "Origin: b"}, {vary, "Accept-Encoding: gzip"}, {vary, "Origin: a", "Accept-Encoding: gzip"}}
	bodies := map[string]bool{}
	for _, variant := range variants {
		bodies[c.ask(t, "GET /v", "kept", variant...).Body] = true
	}
	require.Len(t, bodies, len(variants))
	for _, variant := range variants {
		answer := c.ask(t, "GET /v", "kept", variant...)
		require.True(t, bodies[answer.Body], "%v", variant)
	}
}

// TestCacheAnswersConditions: a client that has the answer gets a 304 from the cache.
func TestCacheAnswersConditions(t *testing.T) {
	t.Parallel()
	c := startCacheRig(t)
	const tagged = fresh + `|ETag: "v1"`
	c.ask(t, "GET /c", "kept", tagged)
	asked := c.new.asked.Load()
	require.Contains(t, c.ask(t, "GET /c", "kept", tagged, `If-None-Match: "v1"`).Start, " 304 ")
	require.Contains(t, c.ask(t, "GET /c", "kept", tagged, `If-None-Match: "v2"`).Start, " 200 ")
	require.Equal(t, asked, c.new.asked.Load())
}

// TestCacheWithStickyCookie: the cookie is ours, so it is not kept with the answer, and
// an answer from the cache sets it too.
func TestCacheWithStickyCookie(t *testing.T) {
	t.Parallel()
	c := startCacheRig(t)
	cookies, hits := map[string]bool{}, 0
	for range 30 {
		answer := c.ask(t, "GET /s", "sticky", fresh)
		cookie := onlyPair(t, answer.values("Set-Cookie"))
		cookies[cookie] = true
		again := c.ask(t, "GET /s", "sticky", fresh, "Cookie: "+cookie)
		require.Equal(t, answer.Body, again.Body, "the same side")
		require.Empty(t, again.values("Set-Cookie"))
		hits += len(again.values("X-Migration-Cache"))
	}
	require.Greater(t, len(cookies), 20)
	require.Equal(t, 30, hits)
}

// TestCacheDoesNotHideFailures: a failed answer is not kept, even if it says that it
// may be: new is asked each time, and old answers in its place from its own backend.
func TestCacheDoesNotHideFailures(t *testing.T) {
	t.Parallel()
	c := startCacheRig(t)
	for _, k := range []struct{ service, status string }{{"kept", "503"}, {"listed", "500"}, {"listed", "503"}, {"user", "502"}} {
		path := "GET /" + k.status
		for i := range 3 {
			asked := c.new.asked.Load()
			answer := c.ask(t, path, k.service, fresh, "X-Status: "+k.status)
			require.Equal(t, asked+1, c.new.asked.Load(), "%v: request %d", k, i)
			require.Contains(t, answer.Body, "old-", "%v: old has the same status", k)
			require.Contains(t, answer.Start, k.status)
		}
		answer := c.ask(t, path, k.service, fresh)
		require.Contains(t, answer.Body, "new-", "new is well again")
	}
	require.Equal(t, "HTTP/1.1 503 Service Unavailable", c.ask(t, "GET /bare", "bare", fresh, "X-Status: 503").Start)
	require.Contains(t, c.ask(t, "GET /bare", "bare", fresh).Body, "new-")
}

// TestCacheStale: an old answer is given only where the backend has allowed it
// (stale-if-error) and cannot be reached; this counts as its failure.
func TestCacheStale(t *testing.T) {
	t.Parallel()
	c := startCacheRig(t)
	first := c.ask(t, "GET /allowed", "kept", "X-Answer: Cache-Control: max-age=1, stale-if-error=600")
	c.ask(t, "GET /other", "kept", "X-Answer: Cache-Control: max-age=1")
	c.killNew()
	for path, want := range map[string]string{"/allowed": first.Body, "/other": "old-"} {
		require.Eventually(t, func() bool {
			answer := c.ask(t, "GET "+path, "kept")
			require.NotEqual(t, "HIT old", answer.value("X-Migration-Cache")+" "+answer.value("X-Migration-Side"))
			return answer.value("X-Migration-Cache") != "HIT" && strings.HasPrefix(answer.Body, want)
		}, patience, 100*time.Millisecond, path)
	}
	var stale accesslog.Event
	require.Eventually(t, func() bool {
		log, err := os.ReadFile(filepath.Join(c.params.RuntimeDir, "access.log"))
		require.NoError(t, err)
		for line := range strings.Lines(string(log)) {
			if event, err := accesslog.Parse([]byte(line)); err == nil && event.Cached.Result == "stale" {
				stale = event
				return true
			}
		}
		return false
	}, patience, quick)
	require.Equal(t, fallback.FailureConnect, stale.New.Failure())
}

// TestCacheHitsColourNothing: hits count apart; the share, the requests, failures and
// latencies of the sides are those of the requests that reached them, but decisions
// count all.
func TestCacheHitsColourNothing(t *testing.T) {
	t.Parallel()
	c := startCacheRig(t)
	c.setShare(t, "kept", 5000)
	counters := accesslog.NewCounters(time.Now().Add(-time.Minute))
	counters.SetServices([]string{"kept"}, time.Now().Add(-time.Minute))
	const requests = 100
	for range requests {
		c.ask(t, "GET /h", "kept", fresh)
	}
	require.EqualValues(t, 2, c.old.asked.Load()+c.new.asked.Load(), "one miss for each side")
	hits := 0
	require.Eventually(t, func() bool {
		log, err := os.ReadFile(filepath.Join(c.params.RuntimeDir, "access.log"))
		require.NoError(t, err)
		return strings.Count(string(log), "\n") == requests
	}, patience, quick)
	log, err := os.ReadFile(filepath.Join(c.params.RuntimeDir, "access.log"))
	require.NoError(t, err)
	for line := range strings.Lines(string(log)) {
		event, err := accesslog.Parse([]byte(line))
		require.NoError(t, err, line)
		if event.Cached.Result == "hit" {
			hits++
			require.Empty(t, event.Answered, line)
			require.Zero(t, event.New.Tries+event.Old.Tries, line)
		}
		counters.Add(&event, time.Now())
	}
	require.Equal(t, requests-2, hits)
	rows := []status.Service{{Name: "kept"}}
	counters.Fill(rows, time.Now())
	require.Equal(t, uint64(requests), rows[0].ObservedRequests)
	require.InDelta(t, 50, *rows[0].Observed, 25)
	require.InDelta(t, 2.0/60, rows[0].Rate(), 0.01)
	require.Zero(t, rows[0].Old.Failed+rows[0].New.Failed)
}

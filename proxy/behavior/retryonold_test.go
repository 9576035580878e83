package behavior

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy/accesslog"
)

// failureCase is one way in which new fails a request, and the result.
type failureCase struct {
	name string
	host string // its new fails in this way
	path string
	// seen: new may have acted upon the request.
	seen bool
	// passes: the status is not in on_status, so the response passes.
	passes bool
	// onceStatus is the client's status when the request must not be repeated.
	onceStatus string
	failure    fallback.Failure
}

var failureCases = []failureCase{
	{"refused", "refused", "/", false, false, "", fallback.FailureConnect},
	{"does not accept", "unresponsive", "/", false, false, "", fallback.FailureConnect},
	{"untrusted certificate", "untrusted", "/", false, false, "", fallback.FailureConnect},
	{"closes when it has read", "normal", "/do/close", true, false, "502", fallback.FailureReset},
	{"closes before it has read", "normal", "/do/close-early", true, false, "502", fallback.FailureReset},
	{"resets", "normal", "/do/reset", true, false, "502", fallback.FailureReset},
	{"resets inside the headers", "normal", "/do/reset-headers", true, false, "502", fallback.FailureReset},
	{"reads and hangs", "impatient", "/do/hang", true, false, "504", fallback.FailureTimeout},
	{"500, not listed", "normal", "/do/status/500", true, true, "500", fallback.FailureStatus},
	{"429, listed", "own-status", "/do/status/429", true, false, "429", fallback.NoFailure},
	{"503, not listed", "own-status", "/do/status/503", true, true, "503", fallback.FailureStatus},
	{"502", "normal", "/do/status/502", true, false, "502", ""}, // in the log the same as a reset
	{"503", "normal", "/do/status/503", true, false, "503", fallback.FailureStatus},
	{"504", "normal", "/do/status/504", true, false, "504", ""},
}

var (
	safeMethods = []string{"GET", "HEAD", "PUT", "DELETE"}
	onceMethods = []string{"POST", "PATCH", "PURGE"}
)

// bodies are request bodies with the header that announces them.
var bodies = []struct{ name, framed, plain string }{
	{"no body", "Content-Length: 0\r\n\r\n", ""},
	{"1 KB", "Content-Length: 1024\r\n\r\n" + strings.Repeat("k", 1024), strings.Repeat("k", 1024)},
	{"1 MB", "Content-Length: 1048576\r\n\r\n" + strings.Repeat("m", 1<<20), strings.Repeat("m", 1<<20)},
	{"chunked", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n4000\r\n" + strings.Repeat("c", 0x4000) + "\r\n0\r\n\r\n", "hello" + strings.Repeat("c", 0x4000)},
}

// attempt is one request to a new that fails it.
type attempt struct {
	failureCase
	method       string
	body         int
	id           string
	answer       message
	err          error
	atOld, atNew int // requests that each side got
}

// broken is a proxy whose new fails in every way.
type broken struct {
	*rig
	old, new *testbed.Backend
}

func (b broken) send(a *attempt) {
	text := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s.example.com\r\n%s: %s\r\nX-Request-ID: %s\r\n%s",
		a.method, a.path, a.host, testbed.IDHeader, a.id, a.id, bodies[a.body].framed)
	a.answer, a.err = sendOnce(b.params.Listen.String(), text)
	a.atOld, a.atNew = b.old.Count(a.method, a.path, a.id), b.new.Count(a.method, a.path, a.id)
}

// fail adds failures that the scripts of testbed do not have.
func fail(w http.ResponseWriter, r *http.Request) {
	half := ""
	switch r.URL.Path {
	case "/do/reset-headers":
		half = "HTTP/1.1 200 OK\r\nContent-Le"
		var sink bytes.Buffer
		_, _ = sink.ReadFrom(r.Body)
	case "/do/close-early":
	default:
		_, script, _ := strings.Cut(r.URL.Path, "/do/")
		testbed.Do(script).ServeHTTP(w, r)
		return
	}
	if conn, buffered, err := http.NewResponseController(w).Hijack(); err == nil {
		_, _ = buffered.WriteString(half)
		_ = buffered.Flush()
		_ = conn.Close() // a reset, if some bytes were not read
	}
}

// startBroken serves these services, all at 100 %: refused, unresponsive,
// untrusted, normal, impatient (a short timeout) and own-status (its own
// on_status).
func startBroken(t *testing.T) broken {
	old, new := startBackend(t, testbed.Options{Name: "old"}), startBackend(t, testbed.Options{Name: "new"})
	old.Answer(testbed.Do("")) // old ignores the path
	new.Answer(http.HandlerFunc(fail))
	authority, err := testbed.NewAuthority()
	require.NoError(t, err)
	certificate, err := authority.Server(newHost)
	require.NoError(t, err)
	untrusted := startBackend(t, testbed.Options{Name: "untrusted", Certificate: certificate})
	text := "services:"
	for _, s := range []struct{ name, backend, more string }{
		{"refused", "http://" + freeAddress(t).String(), ""},
		{"unresponsive", "http://" + unresponsiveAddress(t), "    timeout: 1500ms\n"},
		{"untrusted", untrusted.URL(), ""},
		{"normal", new.URL(), ""},
		{"impatient", new.URL(), "    timeout: 1500ms\n"},
		{"own-status", new.URL(), "    fallback: {on_status: [429]}\n"},
	} {
		text += serviceText(s.name, old.URL(), s.backend, allNew+s.more)
	}
	return broken{startRig(t, loadTable(t, text), nil), old, new}
}

// TestRetryOnOld sends every kind of request to every kind of failing new. All
// requests are sent, 32 at a time, before the first result is checked.
func TestRetryOnOld(t *testing.T) {
	t.Parallel()
	proxy := startBroken(t)
	var attempts []*attempt
	for _, f := range failureCases {
		for _, method := range slices.Concat(safeMethods, onceMethods) {
			for body := range bodies {
				id := strings.NewReplacer(" ", "-", ",", "").Replace(fmt.Sprintf("%s/%s/%s", f.name, method, bodies[body].name))
				attempts = append(attempts, &attempt{failureCase: f, method: method, body: body, id: id})
			}
		}
	}
	atOnce := make(chan struct{}, 32)
	var sent sync.WaitGroup
	for _, a := range attempts {
		atOnce <- struct{}{}
		sent.Go(func() { proxy.send(a); <-atOnce })
	}
	sent.Wait()
	events := proxy.awaitLog(t, attempts)
	for _, a := range attempts {
		t.Run(a.id, func(t *testing.T) {
			require.NoError(t, a.err, "the client always gets an answer")
			a.requireResult(t)
			a.requireLogged(t, events[a.id])
		})
	}
}

func (a *attempt) requireResult(t *testing.T) {
	status, side := strings.Fields(a.answer.Start)[1], a.answer.value(testbed.BackendHeader)
	safe := slices.Contains(safeMethods, a.method)
	switch {
	case !a.seen:
		require.Equal(t, []any{"200", "old", 1, 0}, []any{status, side, a.atOld, a.atNew}, "new never got it")
	case a.passes:
		require.Equal(t, []any{a.onceStatus, "new", 0, 1}, []any{status, side, a.atOld, a.atNew}, "the answer of new passes")
	case safe:
		require.Equal(t, []any{"200", "old", 1}, []any{status, side, a.atOld}, "old answers for new")
		require.LessOrEqual(t, a.atNew, 3, "more tries than retry_attempts")
	case a.method == "PURGE":
		// nginx repeats all methods but POST, PATCH and LOCK, so new may get it
		// again; only the generated config keeps it from old.
		require.Equal(t, []any{a.onceStatus, 0}, []any{status, a.atOld})
		require.Contains(t, []int{1, 2, 3}, a.atNew)
	default:
		require.Equal(t, []any{a.onceStatus, 0, 1}, []any{status, a.atOld, a.atNew}, "it must arrive exactly once")
		require.Equal(t, strings.HasPrefix(a.path, "/do/status/"), side == "new", "the answer of new passes")
	}
	if side != "" && a.method != "HEAD" {
		sum := sha256.Sum256([]byte(bodies[a.body].plain))
		require.Equal(t, hex.EncodeToString(sum[:]), parseEcho(t, a.answer).BodySHA256, "the body is different")
	}
}

// loggedRequest is an event with copies of what it refers to in its line.
type loggedRequest struct {
	accesslog.Event
	service, line string
}

// awaitLog waits until all requests are in the access log.
func (b broken) awaitLog(t *testing.T, attempts []*attempt) map[string]loggedRequest {
	wanted := func(events map[string]loggedRequest) bool {
		return !slices.ContainsFunc(attempts, func(a *attempt) bool { _, found := events[a.id]; return !found })
	}
	var events map[string]loggedRequest
	require.Eventually(t, func() bool {
		text, err := os.ReadFile(filepath.Join(b.params.RuntimeDir, "access.log"))
		require.NoError(t, err)
		events = map[string]loggedRequest{}
		for line := range bytes.Lines(text) {
			if event, err := accesslog.Parse(line); err == nil {
				events[string(event.RequestID)] = loggedRequest{event, string(event.Service), string(line)}
			}
		}
		return wanted(events)
	}, patience, 20*time.Millisecond, "requests are missing in the access log")
	return events
}

func (a *attempt) requireLogged(t *testing.T, logged loggedRequest) {
	require.Equal(t, a.host, logged.service, logged.line)
	require.Equal(t, strings.Fields(a.answer.Start)[1], fmt.Sprint(logged.Status), logged.line)
	require.Equal(t, migration.New, logged.Decision, logged.line)
	require.Equal(t, accesslog.ReasonBucket, logged.Reason, logged.line)
	require.Equal(t, a.atOld, logged.Old.Tries, logged.line)
	require.Equal(t, a.atOld == 1, logged.Rescued(), logged.line)
	answered := migration.New
	if a.atOld > 0 {
		answered = migration.Old
	}
	require.Equal(t, answered, logged.Answered, logged.line)
	require.GreaterOrEqual(t, logged.New.Tries, max(1, a.atNew), logged.line)
	if a.failure != "" || a.passes {
		require.Equal(t, a.failure, logged.New.Failure(), logged.line)
	}
}

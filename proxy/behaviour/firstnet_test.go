package behaviour

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

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy/accesslog"
)

// failing is one way in which new fails a request, and what must come of it.
type failing struct {
	name string
	host string // whose new fails like that
	path string
	// saw tells that new may have acted upon the request.
	saw bool
	// passes tells that the status is not for the fallback.
	passes bool
	// onceStatus is what the client gets when the request must not be repeated.
	onceStatus string
	failure    fallback.Failure
}

var failings = []failing{
	{"refused", "refused", "/", false, false, "", fallback.FailureConnect},
	{"does not accept", "mute", "/", false, false, "", fallback.FailureConnect},
	{"not to be trusted", "untrusted", "/", false, false, "", fallback.FailureConnect},
	{"closes when it has read", "live", "/do/close", true, false, "502", fallback.FailureReset},
	{"closes before it has read", "live", "/do/close-early", true, false, "502", fallback.FailureReset},
	{"resets", "live", "/do/reset", true, false, "502", fallback.FailureReset},
	{"resets within the headers", "live", "/do/reset-headers", true, false, "502", fallback.FailureReset},
	{"reads and hangs", "hasty", "/do/hang", true, false, "504", fallback.FailureTimeout},
	{"500, not listed", "live", "/do/status/500", true, true, "500", fallback.FailureStatus},
	{"429, listed", "picky", "/do/status/429", true, false, "429", fallback.NoFailure},
	{"503, not listed", "picky", "/do/status/503", true, true, "503", fallback.FailureStatus},
	{"502", "live", "/do/status/502", true, false, "502", ""}, // not told from a reset in the log
	{"503", "live", "/do/status/503", true, false, "503", fallback.FailureStatus},
	{"504", "live", "/do/status/504", true, false, "504", ""},
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
	failing
	method       string
	body         int
	id           string
	answer       message
	err          error
	atOld, atNew int // how often each side was asked
}

// broken is a world in which new fails in every way.
type broken struct {
	*rig
	old, new *testbed.Backend
}

func (b broken) send(a *attempt) {
	text := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s.example.com\r\n%s: %s\r\nX-Request-ID: %s\r\n%s",
		a.method, a.path, a.host, testbed.IDHeader, a.id, a.id, bodies[a.body].framed)
	a.answer, a.err = askOnce(b.params.Listen.String(), text)
	a.atOld, a.atNew = b.old.Count(a.method, a.path, a.id), b.new.Count(a.method, a.path, a.id)
}

// badly adds the ways to fail that testbed's scripts do not know.
func badly(w http.ResponseWriter, r *http.Request) {
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
		_ = conn.Close() // a reset, where something was not read
	}
}

// startBroken serves refused, mute, untrusted, live, hasty (a short timeout)
// and picky (statuses of its own), all at 100 %.
func startBroken(t *testing.T) broken {
	old, new := startBackend(t, testbed.Options{Name: "old"}), startBackend(t, testbed.Options{Name: "new"})
	old.Answer(testbed.Do("")) // whatever the path asks of new
	new.Answer(http.HandlerFunc(badly))
	authority, err := testbed.NewAuthority()
	require.NoError(t, err)
	certificate, err := authority.Server(newHost)
	require.NoError(t, err)
	untrusted := startBackend(t, testbed.Options{Name: "untrusted", Certificate: certificate})
	const service = `
  - name: %[1]s
    old_host: %[1]s.example.com
    old_backend: %[2]s
    new_host: ` + newHost + `
    new_backend: %[3]s
    migration: {enabled: true, percentage: 100}
`
	text := "services:"
	for _, s := range []struct{ name, backend, more string }{
		{"refused", "http://" + freeAddress(t).String(), ""},
		{"mute", "http://" + muteAddress(t), "    timeout: 1500ms\n"},
		{"untrusted", untrusted.URL(), ""},
		{"live", new.URL(), ""},
		{"hasty", new.URL(), "    timeout: 1500ms\n"},
		{"picky", new.URL(), "    fallback: {on_status: [429]}\n"},
	} {
		text += fmt.Sprintf(service, s.name, old.URL(), s.backend) + s.more
	}
	table, err := config.Load("broken.yaml", []byte(text))
	require.NoError(t, err)
	return broken{startRig(t, table, nil), old, new}
}

// TestFirstNet sends every kind of request to every kind of failing new. All
// requests are sent before the first is judged, 32 at a time.
func TestFirstNet(t *testing.T) {
	t.Parallel()
	world := startBroken(t)
	var attempts []*attempt
	for _, f := range failings {
		for _, method := range slices.Concat(safeMethods, onceMethods) {
			for body := range bodies {
				id := strings.ReplaceAll(fmt.Sprintf("%s/%s/%s", f.name, method, bodies[body].name), " ", "-")
				attempts = append(attempts, &attempt{failing: f, method: method, body: body, id: id})
			}
		}
	}
	atOnce := make(chan struct{}, 32)
	var sent sync.WaitGroup
	for _, a := range attempts {
		atOnce <- struct{}{}
		sent.Go(func() { world.send(a); <-atOnce })
	}
	sent.Wait()
	events := world.log(t, attempts)
	for _, a := range attempts {
		t.Run(a.id, func(t *testing.T) {
			require.NoError(t, a.err, "whatever new does, the client gets an answer")
			a.judge(t)
			a.judgeLog(t, events[a.id])
		})
	}
}

func (a *attempt) judge(t *testing.T) {
	status, side := strings.Fields(a.answer.Start)[1], a.answer.value(testbed.BackendHeader)
	safe := slices.Contains(safeMethods, a.method)
	switch {
	case !a.saw:
		require.Equal(t, []any{"200", "old", 1, 0}, []any{status, side, a.atOld, a.atNew}, "new never saw it")
	case a.passes:
		require.Equal(t, []any{a.onceStatus, "new", 0, 1}, []any{status, side, a.atOld, a.atNew}, "it is new's own answer")
	case safe:
		require.Equal(t, []any{"200", "old", 1}, []any{status, side, a.atOld}, "old answers for new")
		require.LessOrEqual(t, a.atNew, 3, "more tries than retry_attempts")
	case a.method == "PURGE":
		// nginx itself holds back POST, PATCH and LOCK only, so new may be
		// asked again; that old is not asked is ours.
		require.Equal(t, []any{a.onceStatus, 0}, []any{status, a.atOld})
		require.Contains(t, []int{1, 2, 3}, a.atNew)
	default:
		require.Equal(t, []any{a.onceStatus, 0, 1}, []any{status, a.atOld, a.atNew}, "it must arrive exactly once")
		require.Equal(t, strings.HasPrefix(a.path, "/do/status/"), side == "new", "new's own answer passes")
	}
	if side != "" && a.method != "HEAD" {
		sum := sha256.Sum256([]byte(bodies[a.body].plain))
		require.Equal(t, hex.EncodeToString(sum[:]), parseEcho(t, a.answer).BodySHA256, "another body arrived")
	}
}

// record is an event that outlives its line.
type record struct {
	accesslog.Event
	service, line string
}

// log waits until all requests are in the access log.
func (b broken) log(t *testing.T, attempts []*attempt) map[string]record {
	wanted := func(events map[string]record) bool {
		return !slices.ContainsFunc(attempts, func(a *attempt) bool { _, found := events[a.id]; return !found })
	}
	var events map[string]record
	require.Eventually(t, func() bool {
		text, err := os.ReadFile(filepath.Join(b.params.RuntimeDir, "access.log"))
		require.NoError(t, err)
		events = map[string]record{}
		for line := range bytes.Lines(text) {
			if event, err := accesslog.Parse(line); err == nil {
				events[string(event.RequestID)] = record{event, string(event.Service), string(line)}
			}
		}
		return wanted(events)
	}, patience, 20*time.Millisecond, "requests are missing in the access log")
	return events
}

func (a *attempt) judgeLog(t *testing.T, logged record) {
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

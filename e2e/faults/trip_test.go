package faults

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// trips after five failures, tries new again after two seconds, and believes
// it after three.
const trips = "    fallback: {max_failures: 5, failure_window: 3, recovery_time: 2%s}"

// tripConnections is how many requests of a method are under way at most.
const tripConnections = 8

// failingNew answers well until it is told to fail, and then notes when it is
// asked.
type failingNew struct {
	mu    sync.Mutex
	how   http.Handler
	every int64 // fails one request in so many; 0 is none
	count int64
	asked []time.Time // when requests came that it failed
}

func (f *failingNew) ServeHTTP(w http.ResponseWriter, r *http.Request) { f.next().ServeHTTP(w, r) }

func (f *failingNew) next() http.Handler {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count++
	if f.every == 0 || f.count%f.every != 0 {
		return testbed.Do("")
	}
	f.asked = append(f.asked, time.Now())
	return f.how
}

// fail fails one request in so many from now on.
func (f *failingNew) fail(how http.Handler, every int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.how, f.every = how, every
}

// failed is how many requests it has failed.
func (f *failingNew) failed() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.asked)
}

// lastAfterFifth tells how long after the fifth request that it failed the
// last one came; nothing when it did not see five.
func (f *failingNew) lastAfterFifth(until time.Time) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	last := time.Duration(-1)
	for i, at := range f.asked {
		if i >= 5 && at.Before(until) {
			last = at.Sub(f.asked[4])
		}
	}
	if last < 0 {
		return ""
	}
	return fmt.Sprintf(", the last %d ms after the fifth came", last.Milliseconds())
}

// tripping is a failure of new under load.
type tripping struct {
	name        string
	begin, heal func(*pair, *failingNew)
	most        int // failed POSTs
	mostGets    int // failed GETs: none, unless their answers had begun
}

// fails makes new fail every request as a script says.
func fails(script string) func(*pair, *failingNew) {
	return failsBy(testbed.Do(script).ServeHTTP)
}

func failsBy(how http.HandlerFunc) func(*pair, *failingNew) {
	return func(_ *pair, f *failingNew) { f.fail(how, 1) }
}

func isWell(_ *pair, f *failingNew) { f.fail(nil, 0) }

// Five, and those under way: each was sent before the trip.
const mostPosts = 5 + 2*tripConnections

// A second's: nginx's error log is read ten times a second, by an agent that
// shares two CPUs with all other tests.
const mostBegun = 450

var trippings = []tripping{
	{"is killed, refuses", func(p *pair, _ *failingNew) { p.new.Kill() }, func(p *pair, _ *failingNew) { require.NoError(p.t, p.new.Revive()) }, tripConnections, 0},
	{"503", fails("status/503"), isWell, mostPosts, 0},
	{"resets", fails("reset"), isWell, mostPosts, 0},
	{"reads the request and hangs", fails("hang"), isWell, mostPosts, 0},
	{"resets within the body", fails("reset-body"), isWell, mostBegun, mostBegun},
	{"stalls within the body", failsBy(stall), isWell, mostBegun, mostBegun},
	{"ends within a chunked body", failsBy(endEarly), isWell, mostBegun, mostBegun},
}

// TestTrip: new fails under load, five failures trip it, new heals, it
// recovers. A probe during the hold-off may reach new; no client does.
func TestTrip(t *testing.T) {
	t.Parallel()
	for _, c := range trippings {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t)
		})
	}
}

func (c tripping) run(t *testing.T) {
	p, f := newTripping(t, "")
	clients := p.clients("api", rates{get: 300, post: 150, connections: tripConnections})
	clients.flows(100)
	since := time.Now()
	c.begin(p, f)
	p.awaitPhase(status.FallenBack)
	toTrip := time.Since(since)
	pause(time.Second) // all are in the access log
	failed := int(p.metric("upstream_failures_total{", `side="new"`))
	healed := time.Now()
	c.heal(p, f)
	p.awaitPhase(status.Recovering)
	toTry := time.Since(healed)
	p.awaitPhase(status.Migrating)
	toBelieve := time.Since(healed)
	clients.flows(200)
	result := clients.end(since, time.Time{}, p.old, p.new)
	result.group, result.name = "8. Trip (max_failures: 5)", c.name
	result.says = fmt.Sprintf("FallenBack after %d ms; %d requests tried new after the fifth failure%s; Recovering %.1f s and Migrating %.1f s after new was well",
		toTrip.Milliseconds(), max(0, failed-5), f.lastAfterFifth(healed), toTry.Seconds(), toBelieve.Seconds())
	results.add(t, result)
	t.Log(clients.kinds())
	require.LessOrEqual(t, result.get.failed, c.mostGets, "failed GETs")
	require.Zero(t, result.duplicates, "duplicated POSTs")
	require.LessOrEqual(t, result.post.failed, c.most, "failed POSTs")
}

func newTripping(t *testing.T, more string) (*pair, *failingNew) {
	p := newPair(t)
	f := &failingNew{}
	p.new.Answer(f)
	p.start(p.api(all, fmt.Sprintf(trips, more), hasty))
	return p, f
}

func (p *pair) awaitPhase(phase status.Phase) {
	p.t.Helper()
	p.await(string(phase), func(s status.Status) bool { return len(s.Services) > 0 && s.Services[0].Phase == phase })
	require.Eventually(p.t, func() bool { return p.metric("migration_proxy_phase{", fmt.Sprintf("phase=%q", phase)) == 1 }, patience, 10*time.Millisecond)
}

// TestRatio: with failure_ratio, a count alone does not trip.
func TestRatio(t *testing.T) {
	t.Parallel()
	p, f := newTripping(t, ", failure_ratio: 0.05")
	f.fail(testbed.Do("status/503"), 1000)
	clients := p.clients("api", rates{get: 2000, post: 1000, connections: tripConnections})
	clients.flows(int64(takes(8*time.Second, time.Minute).Seconds()) * 1000)
	require.Greater(t, f.failed(), 5)
	require.Equal(t, status.Migrating, p.row("api").Phase, "1 in 1,000")
	f.fail(testbed.Do("status/503"), 10)
	p.awaitPhase(status.FallenBack)
}

// TestFallenBackSurvives: a killed agent's successor does not forget, and the
// hold-off goes on where it was.
func TestFallenBackSurvives(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	f := &failingNew{}
	p.new.Answer(f)
	p.start(p.api(all, "    fallback: {max_failures: 5, failure_window: 3, recovery_time: 8}", hasty))
	p.clients("api", rates{get: 100, post: 50, connections: 4})
	f.fail(testbed.Do("status/503"), 1)
	p.awaitPhase(status.FallenBack)
	until := p.holdOff()
	f.fail(nil, 0)
	pause(4 * time.Second) // half of the hold-off
	before := p.new.Total()
	p.killAgent()
	p.startAgent()
	now := p.await("served", func(s status.Status) bool { return s.Ready && len(s.Services) > 0 })
	require.Equal(t, status.FallenBack, now.Services[0].Phase)
	require.Equal(t, until, p.holdOff(), "what remains, and no fresh one")
	require.Equal(t, before, p.new.Total(), "not even a probe")
	p.awaitPhase(status.Recovering)
	require.WithinRange(t, time.Now(), until, until.Add(15*time.Second), "two probes later")
	p.awaitPhase(status.Migrating)
}

// holdOff is the end of api's, as a successor will read it.
func (p *pair) holdOff() time.Time {
	p.t.Helper()
	text, err := os.ReadFile(filepath.Join(p.runtime, "fallback.json"))
	require.NoError(p.t, err)
	var states map[string]struct{ Until time.Time }
	require.NoError(p.t, json.Unmarshal(text, &states))
	require.NotZero(p.t, states["api"].Until)
	return states["api"].Until
}

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

// trips is a fallback that trips after five failures, probes new after two seconds,
// and recovers in three.
const trips = "    fallback: {max_failures: 5, failure_window: 3, recovery_time: 2%s}"

// tripConnections is the maximum number of requests in flight for each method.
const tripConnections = 8

// failingNew fails on demand, and records when it does.
type failingNew struct {
	mu       sync.Mutex
	how      http.Handler
	every    int64 // one of so many requests fails; 0: none
	count    int64
	failedAt []time.Time // times of the requests that it failed
}

func (f *failingNew) ServeHTTP(w http.ResponseWriter, r *http.Request) { f.next().ServeHTTP(w, r) }

func (f *failingNew) next() http.Handler {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count++
	if f.every == 0 || f.count%f.every != 0 {
		return testbed.Do("")
	}
	f.failedAt = append(f.failedAt, time.Now())
	return f.how
}

// fail makes one of so many requests fail from now on; every 0 means none.
func (f *failingNew) fail(how http.Handler, every int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.how, f.every = how, every
}

// failed is the number of requests that it has failed.
func (f *failingNew) failed() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.failedAt)
}

// lastAfterFifth describes how long after the fifth failed request the last one came.
// It is empty for fewer than six.
func (f *failingNew) lastAfterFifth(until time.Time) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	last := time.Duration(-1)
	for i, at := range f.failedAt {
		if i >= 5 && at.Before(until) {
			last = at.Sub(f.failedAt[4])
		}
	}
	if last < 0 {
		return ""
	}
	return fmt.Sprintf(", the last %d ms after the fifth came", last.Milliseconds())
}

// tripCase is a failure of new under load.
type tripCase struct {
	name        string
	begin, heal func(*apiProxy, *failingNew)
	most        int // failed POSTs
	mostGets    int // failed GETs: percent0, unless their answers had begun
}

// fails makes new answer every request with a script of testbed.Do.
func fails(script string) func(*apiProxy, *failingNew) {
	return failsBy(testbed.Do(script).ServeHTTP)
}

func failsBy(how http.HandlerFunc) func(*apiProxy, *failingNew) {
	return func(_ *apiProxy, f *failingNew) { f.fail(how, 1) }
}

func works(_ *apiProxy, f *failingNew) { f.fail(nil, 0) }

// Five failures, and the requests in flight: all were sent before the trip.
const mostPosts = 5 + 2*tripConnections

// The requests of one second: the agent reads nginx's error log ten times a second,
// and all tests share two CPUs.
const mostBegun = 450

var tripCases = []tripCase{
	{"is killed, refuses", func(p *apiProxy, _ *failingNew) { p.new.Kill() }, func(p *apiProxy, _ *failingNew) { require.NoError(p.t, p.new.Revive()) }, tripConnections, 0},
	{"503", fails("status/503"), works, mostPosts, 0},
	{"resets", fails("reset"), works, mostPosts, 0},
	{"reads the request and hangs", fails("hang"), works, mostPosts, 0},
	{"resets within the body", fails("reset-body"), works, mostBegun, mostBegun},
	{"ends within a chunked body", failsBy(endEarly), works, mostBegun, mostBegun},
}

// TestTrip lets new fail under load until it trips, then heals it until it recovers.
// During the hold-off only probes may reach new.
func TestTrip(t *testing.T) {
	t.Parallel()
	for _, c := range tripCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t)
		})
	}
}

func (c tripCase) run(t *testing.T) {
	p, f := newTripCase(t, "")
	clients := p.clients("api", rates{get: 300, post: 150, connections: tripConnections})
	clients.waitForAnswers(100)
	since := time.Now()
	c.begin(p, f)
	p.waitForPhase(status.FallenBack)
	toTrip := time.Since(since)
	pause(time.Second) // for the access log
	failed := int(p.metric("upstream_failures_total{", `side="new"`))
	healed := time.Now()
	c.heal(p, f)
	p.waitForPhase(status.Recovering)
	toTry := time.Since(healed)
	p.waitForPhase(status.Migrating)
	toBelieve := time.Since(healed)
	clients.waitForAnswers(200)
	result := clients.finish(since, time.Time{}, p.old, p.new)
	result.group, result.name = "8. Trip (max_failures: 5)", c.name
	result.status = fmt.Sprintf("FallenBack after %d ms; %d requests tried new after the fifth failure%s; Recovering %.1f s and Migrating %.1f s after new was well",
		toTrip.Milliseconds(), max(0, failed-5), f.lastAfterFifth(healed), toTry.Seconds(), toBelieve.Seconds())
	results.add(t, result)
	t.Log(clients.kinds())
	require.LessOrEqual(t, result.get.failed, c.mostGets, "failed GETs")
	require.Zero(t, result.duplicates, "duplicated POSTs")
	require.LessOrEqual(t, result.post.failed, c.most, "failed POSTs")
}

func newTripCase(t *testing.T, more string) (*apiProxy, *failingNew) {
	p := newAPIProxy(t)
	f := &failingNew{}
	p.new.Answer(f)
	p.start(p.api(percent100, fmt.Sprintf(trips, more), shortTimeout))
	return p, f
}

func (p *apiProxy) waitForPhase(phase status.Phase) {
	p.t.Helper()
	p.waitFor(string(phase), func(s status.Status) bool { return len(s.Services) > 0 && s.Services[0].Phase == phase })
	require.Eventually(p.t, func() bool { return p.metric("migration_proxy_phase{", fmt.Sprintf("phase=%q", phase)) == 1 }, waitTimeout, 10*time.Millisecond)
}

// TestRatio checks that with failure_ratio a number of failures alone does not trip.
func TestRatio(t *testing.T) {
	t.Parallel()
	p, f := newTripCase(t, ", failure_ratio: 0.05")
	f.fail(testbed.Do("status/503"), 1000)
	clients := p.clients("api", rates{get: 2000, post: 1000, connections: tripConnections})
	clients.waitForAnswers(int64(shortOrLong(8*time.Second, time.Minute).Seconds()) * 1000)
	require.Greater(t, f.failed(), 5)
	require.Equal(t, status.Migrating, p.row("api").Phase, "1 in 1,000")
	f.fail(testbed.Do("status/503"), 10)
	p.waitForPhase(status.FallenBack)
}

// TestFallenBackSurvives kills the agent during the hold-off: the next one continues
// it.
func TestFallenBackSurvives(t *testing.T) {
	t.Parallel()
	p := newAPIProxy(t)
	f := &failingNew{}
	p.new.Answer(f)
	p.start(p.api(percent100, "    fallback: {max_failures: 5, failure_window: 3, recovery_time: 8}", shortTimeout))
	p.clients("api", rates{get: 100, post: 50, connections: 4})
	f.fail(testbed.Do("status/503"), 1)
	p.waitForPhase(status.FallenBack)
	until := p.holdOff()
	f.fail(nil, 0)
	pause(time.Second) // a part of the hold-off; the next agent must be there before its end
	before := p.new.Total()
	p.killAgent()
	p.startAgent()
	now := p.waitFor("served", func(s status.Status) bool { return s.Ready && len(s.Services) > 0 })
	require.Equal(t, status.FallenBack, now.Services[0].Phase)
	require.Equal(t, until, p.holdOff(), "the rest of the hold-off, not a new one")
	require.Equal(t, before, p.new.Total(), "no request and no probe")
	p.waitForPhase(status.Recovering)
	require.WithinRange(t, time.Now(), until, until.Add(15*time.Second), "after two probes")
	p.waitForPhase(status.Migrating)
}

// holdOff is the end of api's hold-off in the state file.
func (p *apiProxy) holdOff() time.Time {
	p.t.Helper()
	text, err := os.ReadFile(filepath.Join(p.runtime, "fallback.json"))
	require.NoError(p.t, err)
	var states map[string]struct{ Until time.Time }
	require.NoError(p.t, json.Unmarshal(text, &states))
	require.NotZero(p.t, states["api"].Until)
	return states["api"].Until
}

//go:build secondnet

package faults

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/migration-proxy/migration-proxy/status"
)

// trips after five failures, and tries new again after two seconds.
const trips = "    fallback: {max_failures: 5, failure_window: 30, recovery_time: 2%s}"

// tripConnections is how many requests of a method are under way at most.
const tripConnections = 8

// failingNew answers well until it is told to fail, and then notes when it is
// asked.
type failingNew struct {
	fails http.Handler
	every int64 // fails one request in so many; 0 is none
	mu    sync.Mutex
	asked []time.Time // of requests that it failed
	count atomic.Int64
}

func (f *failingNew) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	fails := f.every > 0 && f.count.Add(1)%f.every == 0
	if fails {
		f.asked = append(f.asked, time.Now())
	}
	f.mu.Unlock()
	if fails {
		f.fails.ServeHTTP(w, r)
		return
	}
	testbed.Do("").ServeHTTP(w, r)
}

func (f *failingNew) failEach(n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.every = n
}

// afterFifth is how many requests reached new after the fifth that it failed,
// until a moment, and how long after it the last of them came.
func (f *failingNew) afterFifth(until time.Time) (number int, last time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, at := range f.asked {
		if i >= 5 && at.Before(until) {
			number, last = number+1, at.Sub(f.asked[4])
		}
	}
	return number, last
}

// TestTrip: new fails under load, five failures trip it, new heals, it
// recovers. A probe during the hold-off may reach new; no client does.
func TestTrip(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		begin, heal func(*pair, *failingNew)
		most        int // failed POSTs; GETs never fail
	}{
		{"is killed, refuses", func(p *pair, _ *failingNew) { p.new.Kill() }, func(p *pair, _ *failingNew) { require.NoError(p.t, p.new.Revive()) }, tripConnections},
		{"503", func(_ *pair, f *failingNew) { f.failEach(1) }, func(_ *pair, f *failingNew) { f.failEach(0) }, 5 + 2*tripConnections},
		{"resets", func(_ *pair, f *failingNew) { f.fails = testbed.Do("reset"); f.failEach(1) }, func(_ *pair, f *failingNew) { f.failEach(0) }, 5 + 2*tripConnections},
		{"hangs", func(_ *pair, f *failingNew) { f.fails = testbed.Do("hang"); f.failEach(1) }, func(_ *pair, f *failingNew) { f.failEach(0) }, 5 + 2*tripConnections},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p, f := newTripping(t, "")
			clients := p.clients("api", rates{get: 300, post: 150, connections: tripConnections})
			clients.flows(100)
			failedBefore := p.metric("upstream_failures_total{", `side="new"`)
			since := time.Now()
			c.begin(p, f)
			p.awaitPhase(status.FallenBack)
			toTrip := time.Since(since)
			failedTrying := p.metric("upstream_failures_total{", `side="new"`) - failedBefore
			pause(time.Second)
			number, last := f.afterFifth(time.Now())
			healed := time.Now()
			c.heal(p, f)
			p.awaitPhase(status.Migrating)
			toRecover := time.Since(healed)
			clients.flows(200)
			result := clients.end(since, time.Time{}, p.old, p.new)
			result.group, result.name = "8. Trip", c.name
			result.says = fmt.Sprintf("FallenBack after %d ms, %.0f failures counted by then; %d reached new after the fifth failed, the last %d ms later; Migrating %.1f s after new was well",
				toTrip.Milliseconds(), failedTrying, number, last.Milliseconds(), toRecover.Seconds())
			results.add(t, result)
			t.Log(clients.kinds())
			require.Zero(t, result.get.failed, "failed GETs")
			require.Zero(t, result.duplicates, "duplicated POSTs")
			require.LessOrEqual(t, result.post.failed, c.most, "failed POSTs")
			require.LessOrEqual(t, number, 2*tripConnections*2, "5 and those under way, and a probe or two")
		})
	}
}

func newTripping(t *testing.T, more string) (*pair, *failingNew) {
	p := newPair(t)
	f := &failingNew{fails: testbed.Do("status/503")}
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
	f.failEach(1000)
	clients := p.clients("api", rates{get: 2000, post: 1000, connections: tripConnections})
	clients.flows(int64(takes(8*time.Second, time.Minute).Seconds()) * 1000)
	require.Greater(t, len(f.asked), 5)
	require.Equal(t, status.Migrating, p.row("api").Phase, "1 in 1,000")
	f.failEach(10)
	p.awaitPhase(status.FallenBack)
	clients.stop()
}

// TestFallenBackSurvives: a killed agent's successor does not forget.
func TestFallenBackSurvives(t *testing.T) {
	t.Parallel()
	p, f := newTripping(t, "")
	p.clients("api", rates{get: 100, post: 50, connections: 4})
	f.failEach(1)
	p.awaitPhase(status.FallenBack)
	before := p.new.Total()
	p.killAgent()
	p.startAgent()
	now := p.await("served", func(s status.Status) bool { return s.Ready && len(s.Services) > 0 })
	require.NotEqual(t, status.Migrating, now.Services[0].Phase)
	require.LessOrEqual(t, p.new.Total()-before, 2, "probes at most")
	f.failEach(0)
	p.awaitPhase(status.Migrating)
}

package faults

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/status"
)

// killConnections is the maximum number of requests in flight for each method.
const killConnections = 8

// killCase kills something with SIGKILL.
type killCase struct {
	name   string
	kill   func(*apiProxy)
	most   int
	within time.Duration // no request fails later
}

var killCases = []killCase{
	{"worker", (*apiProxy).killWorker, 2 * killConnections, time.Second},
	{"agent", (*apiProxy).killTheAgent, 0, 0},
	// The workers go on until the agent starts another master; for a moment no
	// process listens.
	{"master", (*apiProxy).killMaster, 1 << 30, 5 * time.Second},
	{"agent and master at once", (*apiProxy).killBoth, 1 << 30, 10 * time.Second},
}

func (p *apiProxy) killWorker() {
	if list := p.children(p.master()); len(list) > 0 {
		_ = syscall.Kill(list[rand.IntN(len(list))].PID, syscall.SIGKILL)
	}
}

func (p *apiProxy) killMaster() {
	if master := p.master(); master > 1 {
		_ = syscall.Kill(master, syscall.SIGKILL)
	}
}

// killTheAgent kills the agent and starts it again, as the kubelet does.
func (p *apiProxy) killTheAgent() {
	p.killAgent()
	p.startAgent()
}

func (p *apiProxy) killBoth() {
	p.signal(syscall.SIGKILL)
	p.killMaster()
	<-p.ended
	p.startAgent()
}

// waitUntilComplete waits until agent, master and all workers run.
func (p *apiProxy) waitUntilComplete() {
	p.t.Helper()
	p.waitFor("whole", func(s status.Status) bool {
		return s.Ready && s.Nginx.PID != 0 && s.Nginx.PID == p.master() && len(p.children(s.Nginx.PID)) == workers
	})
}

// TestKills kills each process under load, at random times.
func TestKills(t *testing.T) {
	t.Parallel()
	p := newAPIProxy(t)
	p.start(p.api(percent50, noTrip))
	before := p.resources()
	for _, k := range killCases {
		p.killOnce(k)
	}
	p.killAtRandom(shortOrLong(6*time.Second, 3*time.Minute))
	p.requireNoLeak(before)
	require.InDelta(t, 50, p.row("api").Share, 0)
}

// killOnce kills once and waits for the end of the effects.
func (p *apiProxy) killOnce(k killCase) {
	clients := p.clients("api", rates{get: 150, post: 75, connections: killConnections})
	clients.waitForAnswers(50)
	since := time.Now()
	k.kill(p)
	p.waitUntilComplete()
	clients.waitForAnswers(100)
	result := p.finish(clients, "kill -9 of "+k.name, since, time.Time{})
	result.group, result.status = "5. kill -9", p.describeNginx()
	results.add(p.t, result)
	p.t.Log(clients.kinds())
	require.Zero(p.t, result.duplicates, "duplicated POSTs")
	require.LessOrEqual(p.t, result.get.failed+result.post.failed, k.most, k.name)
}

func (p *apiProxy) describeNginx() string {
	now, err := p.status()
	require.NoError(p.t, err)
	return fmt.Sprintf("nginx restarts %d, last error %q", now.Nginx.Restarts, now.Nginx.LastError)
}

// killAtRandom kills any process at any time, also one that has just started.
func (p *apiProxy) killAtRandom(length time.Duration) {
	clients := p.clients("api", rates{get: 150, post: 75, connections: killConnections})
	clients.waitForAnswers(50)
	since, counts := time.Now(), map[string]int{}
	for time.Since(since) < length {
		k := killCases[rand.IntN(len(killCases))]
		counts[k.name]++
		k.kill(p)
		pause(rand.N(2 * time.Second))
	}
	p.waitUntilComplete()
	healed := time.Now()
	clients.waitForAnswers(200)
	result := p.finish(clients, fmt.Sprintf("at random for %s: %v", length, counts), since, time.Time{})
	result.group, result.status = "5. kill -9", p.describeNginx()
	result.timeToSafety = "-"
	results.add(p.t, result)
	p.t.Log(clients.kinds())
	require.Zero(p.t, result.duplicates, "duplicated POSTs")
	for method, failures := range clients.failures {
		for _, f := range failures {
			require.False(p.t, f.at.After(healed.Add(time.Second)), "%s fails although everything runs: %s", method, f.what)
		}
	}
}

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

// killConnections is how many requests of a method are under way at most.
const killConnections = 8

// killing is kill -9 of something, and how much that may cost each time.
type killing struct {
	name string
	kill func(*pair)
	// underWay: no more requests than there are connections may fail, once.
	most   int
	within time.Duration // no request fails later
}

var killings = []killing{
	{"worker", (*pair).killWorker, 2 * killConnections, time.Second},
	{"agent", (*pair).killTheAgent, 0, 0},
	// Its workers go on until the agent has another: nobody listens between.
	{"master", (*pair).killMaster, 1 << 30, 5 * time.Second},
	{"agent and master at once", (*pair).killBoth, 1 << 30, 10 * time.Second},
}

func (p *pair) killWorker() {
	if list := children(p.master()); len(list) > 0 {
		_ = syscall.Kill(list[rand.IntN(len(list))], syscall.SIGKILL)
	}
}

func (p *pair) killMaster() {
	if master := p.master(); master > 1 {
		_ = syscall.Kill(master, syscall.SIGKILL)
	}
}

// killTheAgent starts it again, as the kubelet would.
func (p *pair) killTheAgent() {
	p.killAgent()
	p.startAgent()
}

func (p *pair) killBoth() {
	p.signal(syscall.SIGKILL)
	p.killMaster()
	<-p.ended
	p.startAgent()
}

// whole waits until there is an agent, a master and all workers again.
func (p *pair) whole() {
	p.t.Helper()
	p.await("whole", func(s status.Status) bool {
		return s.Ready && s.Nginx.PID != 0 && s.Nginx.PID == p.master() && len(children(s.Nginx.PID)) == workers
	})
}

// TestKills kills each process under load, at random moments.
func TestKills(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.start(p.api(half, noTrip))
	before := p.census()
	for _, k := range killings {
		p.one(k)
	}
	p.many(takes(6*time.Second, 3*time.Minute))
	p.requireNothingLeft(before)
	require.Equal(t, 50.0, p.row("api").Share)
}

// one kills once, in quiet.
func (p *pair) one(k killing) {
	clients := p.clients("api", rates{get: 150, post: 75, connections: killConnections})
	clients.flows(50)
	since := time.Now()
	k.kill(p)
	p.whole()
	clients.flows(100)
	result := p.ends(clients, "kill -9 of "+k.name, since, time.Time{})
	result.group, result.says = "5. kill -9", p.saysOfNginx()
	results.add(p.t, result)
	p.t.Log(clients.kinds())
	require.Zero(p.t, result.duplicates, "duplicated POSTs")
	require.LessOrEqual(p.t, result.get.failed+result.post.failed, k.most, k.name)
}

func (p *pair) saysOfNginx() string {
	now, err := p.status()
	require.NoError(p.t, err)
	return fmt.Sprintf("nginx restarts %d, last error %q", now.Nginx.Restarts, now.Nginx.LastError)
}

// many kills anything at any time, also what has just been started.
func (p *pair) many(length time.Duration) {
	clients := p.clients("api", rates{get: 150, post: 75, connections: killConnections})
	clients.flows(50)
	since, counts := time.Now(), map[string]int{}
	for time.Since(since) < length {
		k := killings[rand.IntN(len(killings))]
		counts[k.name]++
		k.kill(p)
		pause(rand.N(2 * time.Second))
	}
	p.whole()
	healed := time.Now()
	clients.flows(200)
	result := p.ends(clients, fmt.Sprintf("at random for %s: %v", length, counts), since, time.Time{})
	result.group, result.says = "5. kill -9", p.saysOfNginx()
	result.safety = "-"
	results.add(p.t, result)
	p.t.Log(clients.kinds())
	require.Zero(p.t, result.duplicates, "duplicated POSTs")
	for method, failures := range clients.failures {
		for _, f := range failures {
			require.False(p.t, f.at.After(healed.Add(time.Second)), "%s fails although everything is whole: %s", method, f.what)
		}
	}
}

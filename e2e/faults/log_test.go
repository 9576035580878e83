package faults

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// TestAccessLogNotRead has a reader of standard output that does not read. Meanwhile
// it stops the agent and removes the log file; at the end the reader goes away.
func TestAccessLogNotRead(t *testing.T) {
	t.Parallel()
	p := newAPIProxy(t)
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { _ = reader.Close() })
	p.accessLog, p.stdout = "-", writer
	p.start(p.api(percent100, noTrip))
	require.NoError(t, writer.Close())
	before := p.resources()
	p.unreadOutput()
	p.stoppedAgent()
	p.lostLogFile()
	_ = reader.Close() // broken pipe: the collector is gone for good
	p.goneCollector()
	p.requireNoLeak(before)
}

// duringFault gives the row of a fault that lasts as long as the function.
func (p *apiProxy) duringFault(name string, do func()) row {
	clients := p.clients("api", rates{get: 100, post: 50, connections: 8})
	clients.waitForAnswers(20)
	since := time.Now()
	do()
	clients.waitForAnswers(20)
	return p.finish(clients, name, since, time.Time{})
}

func (p *apiProxy) requireNoFailure(r row) {
	results.add(p.t, r)
	require.Zero(p.t, r.get.failed+r.post.failed+r.duplicates, r.name)
}

// unreadOutput sends enough requests to fill all buffers: 64 KB of the pipe and 4 MB
// in the agent.
func (p *apiProxy) unreadOutput() {
	r := p.duringFault("nobody reads the access log on standard output", func() {
		report, err := testbed.Load{
			URL: "http://" + p.listen + "/?" + strings.Repeat("x", 15000), Host: "api.example.com", Requests: 500, Connections: 4,
		}.Run(context.Background())
		require.NoError(p.t, err)
		require.Equal(p.t, map[int]int{200: 500}, report.Statuses, "%v", report.Errors)
		p.waitFor("lines not forwarded", func(s status.Status) bool { return s.Log.Dropped > 0 })
	})
	r.status = "log.dropped counts the lines; all requests are counted"
	p.requireNoFailure(r)
}

// stoppedAgent stops the agent, like a debugger or a CPU without time for it.
func (p *apiProxy) stoppedAgent() {
	r := p.duringFault("agent stopped (SIGSTOP), then continued", func() {
		p.signal(syscall.SIGSTOP)
		pause(shortOrLong(1500*time.Millisecond, 30*time.Second))
		p.signal(syscall.SIGCONT)
	})
	counted := func(s status.Status) bool { return s.Log.Lines >= uint64(r.get.sent+r.post.sent) }
	p.waitFor("all lines of the pause are read", counted)
	r.status = "nothing while it is stopped; then all lines are counted"
	p.requireNoFailure(r)
}

// lostLogFile removes the file that nginx writes and the agent reads.
func (p *apiProxy) lostLogFile() {
	file := filepath.Join(p.runtime, "access.log")
	r := p.duringFault("access log removed", func() {
		require.NoError(p.t, os.Remove(file))
		before := p.waitFor("an answer", func(status.Status) bool { return true }).Log.Lines
		p.waitFor("lines again", func(s status.Status) bool {
			_, err := os.Stat(file)
			return err == nil && s.Log.Lines > before+20
		})
	})
	r.status = "a new file within seconds, lines go on"
	p.requireNoFailure(r)
}

func (p *apiProxy) goneCollector() {
	r := p.duringFault("collector of standard output gone (broken pipe)", func() {
		pause(shortOrLong(time.Second, 10*time.Second))
	})
	now, err := p.status()
	require.NoError(p.t, err, "the agent lives")
	require.True(p.t, now.Ready)
	r.status = "ready; log.dropped counts the lines"
	p.requireNoFailure(r)
}

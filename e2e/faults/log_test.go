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

// TestNobodyReadsTheLog lets the collector of our standard output stop for
// the whole test, then stops the agent, then takes the log file away.
func TestNobodyReadsTheLog(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { _ = reader.Close() })
	p.accessLog, p.stdout = "-", writer
	p.start(p.api(all, noTrip))
	require.NoError(t, writer.Close())
	before := p.census()
	p.unreadOutput()
	p.stoppedAgent()
	p.lostLogFile()
	_ = reader.Close() // broken pipe: the collector is gone for good
	p.goneCollector()
	p.requireNothingLeft(before)
}

// under gives what comes of a fault that lasts as long as do.
func (p *pair) under(name string, do func()) row {
	clients := p.clients("api", rates{get: 100, post: 50, connections: 8})
	clients.flows(20)
	since := time.Now()
	do()
	clients.flows(20)
	return p.ends(clients, name, since, time.Time{})
}

func (p *pair) requireNoFailure(r row) {
	results.add(p.t, r)
	require.Zero(p.t, r.get.failed+r.post.failed+r.duplicates, r.name)
}

// unreadOutput sends enough for all buffers to be full: 64 KB of a pipe and
// 4 MB of ours.
func (p *pair) unreadOutput() {
	r := p.under("nobody reads the access log on standard output", func() {
		report, err := testbed.Load{
			URL: "http://" + p.listen + "/?" + strings.Repeat("x", 15000), Host: "api.example.com", Requests: 500, Connections: 4,
		}.Run(context.Background())
		require.NoError(p.t, err)
		require.Equal(p.t, map[int]int{200: 500}, report.Statuses, "%v", report.Errors)
		p.await("lines not forwarded", func(s status.Status) bool { return s.Log.Dropped > 0 })
	})
	r.says = "log.dropped counts the lines; all requests are counted"
	p.requireNoFailure(r)
}

// stoppedAgent stops the whole agent, as a debugger or a starved CPU does.
func (p *pair) stoppedAgent() {
	r := p.under("agent stopped (SIGSTOP), then continued", func() {
		p.signal(syscall.SIGSTOP)
		pause(takes(1500*time.Millisecond, 30*time.Second))
		p.signal(syscall.SIGCONT)
	})
	counted := func(s status.Status) bool { return s.Log.Lines >= uint64(r.get.sent+r.post.sent) }
	p.await("all lines of the pause are read", counted)
	r.says = "nothing while it is stopped; then all lines are counted"
	p.requireNoFailure(r)
}

// lostLogFile removes the file that nginx writes and the agent reads.
func (p *pair) lostLogFile() {
	file := filepath.Join(p.runtime, "access.log")
	r := p.under("access log removed", func() {
		require.NoError(p.t, os.Remove(file))
		before := p.await("an answer", func(status.Status) bool { return true }).Log.Lines
		p.await("lines again", func(s status.Status) bool {
			_, err := os.Stat(file)
			return err == nil && s.Log.Lines > before+20
		})
	})
	r.says = "a new file within seconds, lines go on"
	p.requireNoFailure(r)
}

func (p *pair) goneCollector() {
	r := p.under("collector of standard output gone (broken pipe)", func() {
		pause(takes(time.Second, 10*time.Second))
	})
	now, err := p.status()
	require.NoError(p.t, err, "the agent lives")
	require.True(p.t, now.Ready)
	r.says = "ready; log.dropped counts the lines"
	p.requireNoFailure(r)
}

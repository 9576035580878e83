package faults

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/status"
)

// TestNoDescriptorsLeft gives the proxy 64 descriptors, so that each worker
// has 32 connections, and lets slow clients have them all.
func TestNoDescriptorsLeft(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.wrap = []string{"sh", "-c", `ulimit -n 64 && exec "$@"`, "sh"}
	p.start(p.api(all, noTrip))
	before := p.census()
	clients := p.clients("api", rates{get: 50, post: 25, connections: 4})
	clients.flows(20)
	since := time.Now()
	hoard := p.slowClients(150)
	pause(takes(1500*time.Millisecond, 20*time.Second))
	during, err := p.status()
	require.NoError(t, err, "the agent lives, and has descriptors of its own")
	require.True(t, during.Ready)
	healed := time.Now()
	for _, conn := range hoard {
		_ = conn.Close()
	}
	p.recovers()
	clients.flows(20)
	result := p.ends(clients, "150 clients who send half a request, 32 connections a worker", since, healed)
	result.says = p.says("api")
	results.add(t, result)
	t.Log(clients.kinds())
	require.Zero(t, result.duplicates)
	require.NotEmpty(t, hoard)
	require.Equal(t, 0, during.Nginx.Restarts)
	p.requireNothingLeft(before)
}

// slowClients connect, and send what is not yet a request.
func (w *world) slowClients(number int) []net.Conn {
	var held []net.Conn
	for range number {
		conn, err := net.DialTimeout("tcp", w.listen, 200*time.Millisecond)
		if err != nil {
			break // nginx accepts no more, and the kernel's queue is full
		}
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: api.example.com\r\n")
		held = append(held, conn)
	}
	return held
}

// recovers waits until requests are answered and the status is good.
func (p *pair) recovers() {
	p.t.Helper()
	probe := p.clients("api", rates{get: 50, post: 25, connections: 2})
	probe.flows(5)
	probe.stop()
	probe.loads.Wait()
	after := p.clients("api", rates{get: 50, post: 25, connections: 2})
	after.flows(30)
	r := after.end(time.Now(), time.Time{}, p.old, p.new)
	require.Zero(p.t, r.get.failed+r.post.failed, "requests fail although the fault is over: %v", after.kinds())
	p.await("ready", func(s status.Status) bool { return s.Ready })
}

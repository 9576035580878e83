package faults

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/status"
)

// TestNoDescriptorsLeft limits the proxy to 64 descriptors, so that each worker has 32
// connections, and lets slow clients use all of them.
func TestNoDescriptorsLeft(t *testing.T) {
	t.Parallel()
	p := newAPIProxy(t)
	p.wrap = []string{"sh", "-c", `ulimit -n 64 && exec "$@"`, "sh"}
	p.start(p.api(percent100, noTrip))
	before := p.resources()
	clients := p.clients("api", rates{get: 50, post: 25, connections: 4})
	clients.waitForAnswers(20)
	since := time.Now()
	connections := p.slowClients(150)
	pause(shortOrLong(0, 20*time.Second))
	during := p.waitFor("not ready, as requests fail; the agent has descriptors of its own", func(s status.Status) bool {
		if s.Ready { // a client had a place that these now take
			connections = append(connections, p.slowClients(10)...)
		}
		return !s.Ready
	})
	require.True(t, during.Nginx.ConnectionsTaken, "%+v", during.Nginx)
	healed := time.Now()
	for _, conn := range connections {
		_ = conn.Close()
	}
	p.recovers()
	clients.waitForAnswers(20)
	result := p.finish(clients, "150 clients that send half a request, 32 connections a worker", since, healed)
	result.status = p.describeService("api")
	results.add(t, result)
	t.Log(clients.kinds())
	require.Zero(t, result.duplicates)
	require.NotEmpty(t, connections)
	require.Equal(t, 0, during.Nginx.Restarts)
	p.requireNoLeak(before)
}

// slowClients connect and send half a request, after a whole one: with its answer nginx has
// begun with the half. For a new connection it closes those of which it has read nothing.
func (w *proxyRun) slowClients(number int) []net.Conn {
	var held []net.Conn
	for range number {
		conn, err := net.DialTimeout("tcp", w.listen, 200*time.Millisecond)
		if err != nil {
			break // nginx accepts no more connections, and the kernel's queue is full
		}
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: unknown\r\n\r\nGET / HTTP/1.1\r\nHost: api.example.com\r\n")
		_ = conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		_, _ = conn.Read(make([]byte, 1))
		held = append(held, conn)
	}
	return held
}

// recovers waits until requests succeed and the status is ready.
func (p *apiProxy) recovers() {
	p.t.Helper()
	probe := p.clients("api", rates{get: 50, post: 25, connections: 2})
	probe.waitForAnswers(5)
	probe.stop()
	probe.loads.Wait()
	after := p.clients("api", rates{get: 50, post: 25, connections: 2})
	after.waitForAnswers(30)
	r := after.finish(time.Now(), time.Time{}, p.old, p.new)
	require.Zero(p.t, r.get.failed+r.post.failed, "requests fail although the fault has ended: %v", after.kinds())
	p.waitFor("ready", func(s status.Status) bool { return s.Ready })
}

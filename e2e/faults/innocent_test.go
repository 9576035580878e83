package faults

import (
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// innocence is an answer that breaks off without new's doing. It happens
// often enough to trip ten times over.
type innocence struct {
	name, share, timeout string
	old, new             http.HandlerFunc // nil answers well
	client               func(net.Conn)   // what becomes of each of the connections
}

const innocences = 50

// readsSome leaves in the middle of an answer.
func readsSome(conn net.Conn) { _, _ = io.CopyN(io.Discard, conn, 1000) }

func readsAll(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

var innocents = []innocence{
	{"old resets within the body", half, patient, testbed.Do("reset-body").ServeHTTP, nil, readsAll},
	{"old stalls within the body", half, "    timeout: 2s", stall, nil, readsAll},
	{"clients leave within the body", all, patient, nil, testbed.Do("big/50000000").ServeHTTP, readsSome},
	{"clients leave while new stalls", all, patient, nil, testbed.Do("sse/1000").ServeHTTP, readsSome},
}

// TestInnocentNewIsNotTripped: what breaks off by old's or the client's doing
// is not counted as new's failure.
func TestInnocentNewIsNotTripped(t *testing.T) {
	t.Parallel()
	for _, c := range innocents {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t)
		})
	}
}

func (c innocence) run(t *testing.T) {
	p := newPair(t)
	if c.old != nil {
		p.old.Answer(c.old)
	}
	if c.new != nil {
		p.new.Answer(c.new)
	}
	p.start(p.api(c.share, "    fallback: {max_failures: 5, failure_window: 60, recovery_time: 60}", c.timeout))
	var clients sync.WaitGroup
	for range innocences {
		clients.Go(func() { p.once(c.client) })
	}
	clients.Wait()
	p.await("all in the access log", func(s status.Status) bool { return s.Log.Lines >= innocences })
	pause(300 * time.Millisecond) // and in the error log
	require.Equal(t, status.Migrating, p.row("api").Phase)
	require.Zero(t, p.metric("upstream_failures_total{", `side="new"`))
	if c.old != nil {
		require.GreaterOrEqual(t, p.metric("upstream_failures_total{", `side="old"`), 5.0, "old's are counted as old's")
	}
}

// once sends a request on a connection of its own.
func (p *pair) once(then func(net.Conn)) {
	conn, err := net.Dial("tcp", p.listen)
	if err != nil {
		p.t.Error(err)
		return
	}
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetReadBuffer(4096)
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n")
	then(conn)
}

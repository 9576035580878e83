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

// unrelatedFailure is an answer that breaks off for a reason other than new. It
// happens often enough for ten trips.
type unrelatedFailure struct {
	name, share, timeout string
	old, new             http.HandlerFunc // nil: normal answers
	client               func(net.Conn)   // what a client does after its request
}

const unrelatedRequests = 50

// readsSome disconnects in the middle of an answer.
func readsSome(conn net.Conn) { _, _ = io.CopyN(io.Discard, conn, 1000) }

func readsAll(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

var unrelatedFailures = []unrelatedFailure{
	{"old resets within the body", percent50, longTimeout, testbed.Do("reset-body").ServeHTTP, nil, readsAll},
	{"new is silent within the body", percent100, "    timeout: 1s", nil, stall, readsAll},
	{"clients leave within the body", percent100, longTimeout, nil, testbed.Do("big/50000000").ServeHTTP, readsSome},
	{"clients leave while new stalls", percent100, longTimeout, nil, testbed.Do("sse/1000").ServeHTTP, readsSome},
}

// TestUnrelatedFailuresDoNotTrip checks that failures of old or of clients do not
// count as failures of new.
func TestUnrelatedFailuresDoNotTrip(t *testing.T) {
	t.Parallel()
	for _, c := range unrelatedFailures {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t)
		})
	}
}

func (c unrelatedFailure) run(t *testing.T) {
	p := newAPIProxy(t)
	if c.old != nil {
		p.old.Answer(c.old)
	}
	if c.new != nil {
		p.new.Answer(c.new)
	}
	p.start(p.api(c.share, "    fallback: {max_failures: 5, failure_window: 60, recovery_time: 60}", c.timeout))
	var clients sync.WaitGroup
	for range unrelatedRequests {
		clients.Go(func() { p.once(c.client) })
	}
	clients.Wait()
	p.waitFor("all in the access log", func(s status.Status) bool { return s.Log.Lines >= unrelatedRequests })
	pause(300 * time.Millisecond) // for the error log
	require.Equal(t, status.Migrating, p.row("api").Phase)
	require.Zero(t, p.metric("upstream_failures_total{", `side="new"`))
	if c.old != nil {
		require.GreaterOrEqual(t, p.metric("upstream_failures_total{", `side="old"`), 5.0, "failures of old count for old")
	}
}

// once sends a request on a connection of its own.
func (p *apiProxy) once(then func(net.Conn)) {
	conn, err := net.Dial("tcp", p.listen)
	if err != nil {
		p.t.Error(err)
		return
	}
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetReadBuffer(4096)
	_ = conn.SetDeadline(time.Now().Add(waitTimeout))
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n")
	then(conn)
}

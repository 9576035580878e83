package faults

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// tcpRelay forwards TCP connections to a backend. It can fail in ways that a backend
// cannot, while clients connect.
type tcpRelay struct {
	t        *testing.T
	to       string
	listener *net.TCPListener
	holding  atomic.Bool
	mu       sync.Mutex
	cond     *sync.Cond
	dropping bool
	open     map[net.Conn]bool
	queued   []net.Conn // fill the queue of a relay that drops connections
	serving  sync.WaitGroup
}

// newTCPRelay listens on an address, whose port may be 0, and forwards to a backend.
func newTCPRelay(t *testing.T, from, to string) *tcpRelay {
	t.Helper()
	listener, err := net.Listen("tcp4", from)
	require.NoError(t, err)
	w := &tcpRelay{t: t, to: to, listener: listener.(*net.TCPListener), open: map[net.Conn]bool{}}
	w.cond = sync.NewCond(&w.mu)
	w.serving.Go(w.accept)
	t.Cleanup(w.close)
	return w
}

func (w *tcpRelay) addr() string { return w.listener.Addr().String() }

func (w *tcpRelay) accept() {
	for {
		conn, err := w.listener.Accept()
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			w.waitUntilAccepting()
			continue
		}
		if err != nil {
			return
		}
		if !w.add(conn) {
			continue
		}
		w.serving.Go(func() { w.copyBytes(conn) })
	}
}

func (w *tcpRelay) waitUntilAccepting() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.dropping {
		w.cond.Wait()
	}
}

// add registers a connection for close. It gives false, and closes the connection,
// when the relay is closed.
func (w *tcpRelay) add(conn net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open == nil {
		_ = conn.Close()
		return false
	}
	w.open[conn] = true
	return true
}

func (w *tcpRelay) remove(conn net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.open, conn)
	_ = conn.Close()
}

// copyBytes copies both directions. A relay that holds connections accepts them and
// sends nothing.
func (w *tcpRelay) copyBytes(conn net.Conn) {
	defer w.remove(conn)
	if w.holding.Load() {
		_, _ = io.Copy(io.Discard, conn)
		return
	}
	far, err := net.Dial("tcp", w.to)
	if err != nil {
		return
	}
	if !w.add(far) {
		return
	}
	defer w.remove(far)
	back := make(chan struct{})
	go func() {
		defer close(back)
		_, _ = io.Copy(conn, far)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(far, conn)
	_ = far.(*net.TCPConn).CloseWrite()
	<-back
}

// closeConnections closes all connections, like a restart of the backend.
func (w *tcpRelay) closeConnections() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for conn := range w.open {
		_ = testbed.CloseAtOnce(conn.(*net.TCPConn))
	}
}

// holdConnections makes the relay accept connections and never answer.
func (w *tcpRelay) holdConnections(on bool) {
	w.holding.Store(on)
	w.closeConnections()
}

// dropConnections makes all connects time out, neither refused nor accepted: Linux
// drops packets to a socket whose queue is full.
func (w *tcpRelay) dropConnections() {
	w.mu.Lock()
	w.dropping = true
	w.mu.Unlock()
	require.NoError(w.t, w.listener.SetDeadline(time.Unix(1, 0)))
	w.queue(0)
	for range 50 {
		conn, err := net.DialTimeout("tcp", w.addr(), 100*time.Millisecond)
		if err != nil {
			w.closeConnections()
			return
		}
		w.queued = append(w.queued, conn)
	}
	require.Fail(w.t, "the queue of connections is not full")
}

// queue sets how many connections may wait to be accepted.
func (w *tcpRelay) queue(length int) {
	raw, err := w.listener.SyscallConn()
	require.NoError(w.t, err)
	require.NoError(w.t, raw.Control(func(fd uintptr) { err = syscall.Listen(int(fd), length) }))
	require.NoError(w.t, err)
}

// acceptConnections ends dropConnections.
func (w *tcpRelay) acceptConnections() {
	for _, conn := range w.queued {
		_ = conn.Close()
	}
	w.queued = nil
	w.queue(1024)
	require.NoError(w.t, w.listener.SetDeadline(time.Time{}))
	w.mu.Lock()
	w.dropping = false
	w.mu.Unlock()
	w.cond.Broadcast()
}

// close ends the relay: further connections are refused.
func (w *tcpRelay) close() {
	_ = testbed.CloseAtOnce(w.listener)
	w.mu.Lock()
	w.dropping = false
	for conn := range w.open {
		_ = testbed.CloseAtOnce(conn.(*net.TCPConn))
	}
	w.open = nil
	w.mu.Unlock()
	w.cond.Broadcast()
	w.serving.Wait()
}

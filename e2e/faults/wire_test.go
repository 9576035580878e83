package faults

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// wire is a TCP hop in front of a backend, which can be broken and mended
// while connections are made: what a backend cannot do to itself.
type wire struct {
	t        *testing.T
	to       string
	listener *net.TCPListener
	holding  atomic.Bool
	mu       sync.Mutex
	cond     *sync.Cond
	mute     bool
	open     map[net.Conn]bool
	clogs    []net.Conn // what fills a mute wire's queue
	serving  sync.WaitGroup
}

// lay lays a wire from an address with a port, or port 0, to a backend.
func lay(t *testing.T, from, to string) *wire {
	t.Helper()
	listener, err := net.Listen("tcp4", from)
	require.NoError(t, err)
	w := &wire{t: t, to: to, listener: listener.(*net.TCPListener), open: map[net.Conn]bool{}}
	w.cond = sync.NewCond(&w.mu)
	w.serving.Go(w.accept)
	t.Cleanup(w.cut)
	return w
}

func (w *wire) addr() string { return w.listener.Addr().String() }

func (w *wire) accept() {
	for {
		conn, err := w.listener.Accept()
		if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
			w.awaitSound()
			continue
		}
		if err != nil {
			return
		}
		if !w.keep(conn) {
			continue
		}
		w.serving.Go(func() { w.carry(conn) })
	}
}

func (w *wire) awaitSound() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.mute {
		w.cond.Wait()
	}
}

// keep notes a connection, so that it can be cut. One that came while the
// wire was made mute never was accepted, as far as its client can tell.
func (w *wire) keep(conn net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open == nil {
		_ = conn.Close()
		return false
	}
	w.open[conn] = true
	return true
}

func (w *wire) drop(conn net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.open, conn)
	_ = conn.Close()
}

// carry moves bytes both ways. A wire that holds accepts and then says
// nothing, until the other end gives up.
func (w *wire) carry(conn net.Conn) {
	defer w.drop(conn)
	if w.holding.Load() {
		_, _ = io.Copy(io.Discard, conn)
		return
	}
	far, err := net.Dial("tcp", w.to)
	if err != nil {
		return
	}
	if !w.keep(far) {
		return
	}
	defer w.drop(far)
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

// hangUp ends all connections, as a restart of the backend would.
func (w *wire) hangUp() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for conn := range w.open {
		_ = conn.Close()
	}
}

// hold lets the wire accept and never answer.
func (w *wire) hold(on bool) {
	w.holding.Store(on)
	w.hangUp()
}

// silence lets nobody connect any more: not refused, not accepted. Linux
// drops what comes to a socket whose queue is full.
func (w *wire) silence() {
	w.mu.Lock()
	w.mute = true
	w.mu.Unlock()
	require.NoError(w.t, w.listener.SetDeadline(time.Unix(1, 0)))
	w.queue(0)
	for range 50 {
		conn, err := net.DialTimeout("tcp", w.addr(), 100*time.Millisecond)
		if err != nil {
			w.hangUp()
			return
		}
		w.clogs = append(w.clogs, conn)
	}
	require.Fail(w.t, "the queue of connections does not fill")
}

// queue changes how many connections may wait to be accepted.
func (w *wire) queue(length int) {
	raw, err := w.listener.SyscallConn()
	require.NoError(w.t, err)
	require.NoError(w.t, raw.Control(func(fd uintptr) { err = syscall.Listen(int(fd), length) }))
	require.NoError(w.t, err)
}

// speak mends a mute wire.
func (w *wire) speak() {
	for _, conn := range w.clogs {
		_ = conn.Close()
	}
	w.clogs = nil
	w.queue(1024)
	require.NoError(w.t, w.listener.SetDeadline(time.Time{}))
	w.mu.Lock()
	w.mute = false
	w.mu.Unlock()
	w.cond.Broadcast()
}

// cut ends the wire: from now on connections are refused.
func (w *wire) cut() {
	_ = w.listener.Close()
	w.mu.Lock()
	w.mute = false
	for conn := range w.open {
		_ = conn.Close()
	}
	w.open = nil
	w.mu.Unlock()
	w.cond.Broadcast()
	w.serving.Wait()
}

package testbed

import (
	"io"
	"net"
	"sync"
	"syscall"
)

// trackingListener knows its open connections, also hijacked ones, which an
// http.Server no longer knows.
type trackingListener struct {
	net.Listener
	mu     sync.Mutex
	open   map[net.Conn]bool
	closed bool
}

// trackedConn leaves the list when it is closed. It embeds the TCP connection, so that
// SetLinger and sendfile are available.
type trackedConn struct {
	*net.TCPConn
	owner *trackingListener
}

func (l *trackingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	tracked := &trackedConn{conn.(*net.TCPConn), l}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	l.open[tracked] = true
	return tracked, nil
}

func (c *trackedConn) Close() error {
	c.owner.mu.Lock()
	defer c.owner.mu.Unlock()
	delete(c.owner.open, c)
	return c.TCPConn.Close()
}

func (l *trackingListener) closeAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	_ = CloseAtOnce(l.Listener.(*net.TCPListener))
	for conn := range l.open {
		_ = CloseAtOnce(conn.(*trackedConn).TCPConn)
	}
	clear(l.open)
}

// CloseAtOnce closes a TCP listener or connection. Close alone may take a while: a program
// that is being started has, between its fork and its exec, a copy of all that this process
// has open, and a copy of a listener goes on to accept connections.
func CloseAtOnce(socket interface {
	syscall.Conn
	io.Closer
}) error {
	raw, err := socket.SyscallConn()
	if err != nil {
		return err // it is closed
	}
	// It also works on the copies. An error means that the other side has closed a connection.
	_ = raw.Control(func(descriptor uintptr) { _ = syscall.Shutdown(int(descriptor), syscall.SHUT_RDWR) })
	return socket.Close()
}

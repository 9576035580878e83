package testbed

import (
	"net"
	"sync"
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
	_ = l.Listener.Close()
	for conn := range l.open {
		_ = conn.(*trackedConn).TCPConn.Close()
	}
	clear(l.open)
}

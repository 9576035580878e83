package connections

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// API servers, kubelets and Prometheus have a few connections to a replica. 512 connections
// with unfinished headers of 16 KiB take about 40 MiB.
const (
	maxConnections = 512
	maxPerPeer     = 64
)

// Limits limits the connections of one address and of all. A new connection is
// never refused while another of its address, or one of the address with the most, is idle
// or has not sent a request: the one that has been so for the longest time is closed.
// So nobody keeps the others out by holding connections.
type Limits struct {
	mu    sync.Mutex
	peers map[netip.Addr]map[net.Conn]time.Time // since when it has no request; zero: it has one
	total int
}

// New gives limits for one server.
func New() *Limits {
	return &Limits{peers: map[netip.Addr]map[net.Conn]time.Time{}}
}

// Listen is the listener with the limits.
func (c *Limits) Listen(listener net.Listener) net.Listener {
	return limitedListener{listener, c}
}

type limitedListener struct {
	net.Listener
	limits *Limits
}

// Accept gives the next connection that is within the limits.
func (l limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil || l.limits.add(conn) {
			return conn, err
		}
		_ = conn.Close()
	}
}

// PeerOf is the address of a client, without the port.
func PeerOf(address string) netip.Addr {
	parsed, _ := netip.ParseAddrPort(address) // all clients without one share the limits
	return parsed.Addr().Unmap()
}

// add is false if the limits leave no place for the connection.
func (c *Limits) add(conn net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	peer := PeerOf(conn.RemoteAddr().String())
	if len(c.peers[peer]) >= maxPerPeer && !c.closeUnused(peer) ||
		c.total >= maxConnections && !c.closeUnused(c.largest()) {
		return false
	}
	if c.peers[peer] == nil {
		c.peers[peer] = map[net.Conn]time.Time{}
	}
	c.peers[peer][conn] = time.Now()
	c.total++
	return true
}

func (c *Limits) largest() (peer netip.Addr) {
	for one := range c.peers {
		if len(c.peers[one]) > len(c.peers[peer]) {
			peer = one
		}
	}
	return peer
}

// closeUnused closes the address's connection that has had no request for the longest time.
func (c *Limits) closeUnused(peer netip.Addr) bool {
	var oldest net.Conn
	for conn, since := range c.peers[peer] {
		if !since.IsZero() && (oldest == nil || since.Before(c.peers[peer][oldest])) {
			oldest = conn
		}
	}
	if oldest == nil {
		return false
	}
	c.remove(peer, oldest)
	_ = oldest.Close()
	return true
}

func (c *Limits) remove(peer netip.Addr, conn net.Conn) {
	if _, known := c.peers[peer][conn]; !known {
		return
	}
	c.total--
	delete(c.peers[peer], conn)
	if len(c.peers[peer]) == 0 {
		delete(c.peers, peer)
	}
}

// Note is the server's ConnState.
func (c *Limits) Note(conn net.Conn, state http.ConnState) {
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	peer := PeerOf(conn.RemoteAddr().String())
	switch state {
	case http.StateActive:
		c.since(peer, conn, time.Time{})
	case http.StateIdle:
		c.since(peer, conn, time.Now())
	case http.StateClosed, http.StateHijacked:
		c.remove(peer, conn)
	case http.StateNew: // add has counted it
	}
}

func (c *Limits) since(peer netip.Addr, conn net.Conn, at time.Time) {
	if _, known := c.peers[peer][conn]; known {
		c.peers[peer][conn] = at
	}
}

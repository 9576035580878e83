package main

import (
	"context"
	"net"
	"net/http"
	"sync"
)

// clients are the connections of clients to one class. At a reload nginx ends them: an
// idle one at once, one with a request after its answer.
type clients struct {
	mu   sync.Mutex
	open map[net.Conn]*clientConnection
}

// clientConnection is the state of one connection.
type clientConnection struct {
	mu     sync.Mutex
	idle   bool // it has answered a request and not read another one
	old    bool // a reload has come since it was opened
	closed bool
}

type clientConnectionKey struct{}

func newClients() *clients { return &clients{open: map[net.Conn]*clientConnection{}} }

// watch registers the callbacks of a server.
func (c *clients) watch(server *http.Server) {
	server.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		one := &clientConnection{}
		c.mu.Lock()
		c.open[conn] = one
		c.mu.Unlock()
		return context.WithValue(ctx, clientConnectionKey{}, one)
	}
	server.ConnState = c.note
}

func (c *clients) note(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.open[conn]
	switch {
	case state == http.StateClosed || state == http.StateHijacked:
		delete(c.open, conn)
	case state == http.StateIdle && one != nil:
		one.mu.Lock()
		one.idle = true
		one.mu.Unlock()
	}
}

// reload ends the idle connections, and marks the others.
func (c *clients) reload() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn, one := range c.open {
		one.mu.Lock()
		one.old = true
		if one.idle {
			one.closed = true
			_ = conn.Close() // a request that arrives meanwhile gets a reset
		}
		one.mu.Unlock()
	}
}

// noteRequest notes a request on its connection. If a reload has ended the connection, the
// request counts as not read: no backend may see it.
func noteRequest(w http.ResponseWriter, r *http.Request) {
	one, _ := r.Context().Value(clientConnectionKey{}).(*clientConnection)
	if one == nil {
		return
	}
	one.mu.Lock()
	defer one.mu.Unlock()
	if one.closed {
		panic(http.ErrAbortHandler)
	}
	one.idle = false
	if one.old {
		w.Header().Set("Connection", "close")
	}
}

package demo

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// clusterHeader has the name of the cluster in each of its responses.
	clusterHeader = "X-Demo-Cluster"
	// idHeader identifies a request: it shows how often the request arrived.
	idHeader = "X-Demo-Id"
	// catalogPath is the one path of service catalog.
	catalogPath = "/catalog"
	// reviveTimeout is how long revive waits for the port to be free.
	reviveTimeout = 5 * time.Second
)

// cluster is a sample cluster: one HTTP server on 127.0.0.1.
type cluster struct {
	name        string
	host        string           // the only host that is answered; "" is all
	certificate *tls.Certificate // nil: plain HTTP
	address     string           // 127.0.0.1:PORT, the same after revive

	asked     atomic.Int64 // requests for catalogPath
	failEvery atomic.Int64 // one of so many of them gets 500

	mu      sync.Mutex
	server  *http.Server // nil while the cluster is killed
	arrived map[string]int
}

// start begins to serve on a free port.
func (c *cluster) start() error {
	listener, err := listenOnFreePort()
	if err != nil {
		return fmt.Errorf("start cluster %s: %w", c.name, err)
	}
	c.address, c.arrived = listener.Addr().String(), map[string]int{}
	c.serve(listener)
	return nil
}

func (c *cluster) serve(listener net.Listener) {
	server := &http.Server{
		Handler:  http.HandlerFunc(c.handle),
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // connections that break when the cluster is killed
	}
	if c.certificate != nil {
		listener = tls.NewListener(listener, &tls.Config{
			Certificates: []tls.Certificate{*c.certificate}, NextProtos: []string{"http/1.1"},
		})
	}
	c.mu.Lock()
	c.server = server
	c.mu.Unlock()
	go func() { _ = server.Serve(listener) }() // ends when the cluster is killed
}

func (c *cluster) handle(w http.ResponseWriter, r *http.Request) {
	if id := r.Header.Get(idHeader); id != "" {
		c.mu.Lock()
		c.arrived[id]++
		c.mu.Unlock()
	}
	w.Header().Set(clusterHeader, c.name)
	if c.host != "" && r.Host != c.host {
		http.Error(w, fmt.Sprintf("cluster %s does not serve host %q", c.name, r.Host), http.StatusMisdirectedRequest)
		return
	}
	if every := c.failEvery.Load(); r.URL.Path == catalogPath && every > 0 && c.asked.Add(1)%every == 0 {
		http.Error(w, "out of luck", http.StatusInternalServerError)
		return
	}
	_, _ = fmt.Fprintf(w, "cluster %s: %s http://%s%s\n", c.name, r.Method, r.Host, r.URL.Path)
}

// count is how often the request with the ID has arrived.
func (c *cluster) count(id string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.arrived[id]
}

// url has the scheme and the address.
func (c *cluster) url() string {
	if c.certificate != nil {
		return "https://" + c.address
	}
	return "http://" + c.address
}

// kill closes the listener and all connections, as the end of a process does.
func (c *cluster) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.server != nil {
		_ = c.server.Close()
		c.server = nil
	}
}

// revive serves on the same port again. A process that is just being started
// has a copy of the closed listener from its fork to its exec, so revive waits
// while the port is in use.
func (c *cluster) revive() error {
	for deadline := time.Now().Add(reviveTimeout); ; time.Sleep(5 * time.Millisecond) {
		listener, err := net.Listen("tcp4", c.address)
		if err == nil {
			c.serve(listener)
			return nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(deadline) {
			return fmt.Errorf("revive cluster %s: %w", c.name, err)
		}
	}
}

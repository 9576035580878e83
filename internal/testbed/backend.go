package testbed

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// BackendHeader carries the name of the backend in each of its answers.
const BackendHeader = "X-Testbed-Backend"

// Options describe a backend. The zero value is a plain HTTP server that
// answers to every name.
type Options struct {
	Name        string           // what the echo and the BackendHeader say
	Certificate *tls.Certificate // https when set
	ClientCAs   *x509.CertPool   // https: a client certificate of these is required
	Hosts       []string         // the only Hosts (else 421) and SNIs (else no handshake)
}

// Backend is an HTTP server on 127.0.0.1 that answers with an Echo, or
// whatever Answer or the path (see Do) ask for, and records who asked. Safe
// for concurrent use.
type Backend struct {
	options Options
	addr    string
	ledger  ledger
	answer  atomic.Pointer[http.Handler]
	mu      sync.Mutex
	life    *life // nil while killed
}

// life is one server between Start or Revive and Kill.
type life struct {
	server   *http.Server
	listener *trackingListener
	end      context.CancelFunc
	served   chan struct{}
}

// Start begins to serve on a free port.
func Start(options Options) (*Backend, error) {
	listener, err := listenAnywhere()
	if err != nil {
		return nil, fmt.Errorf("start backend %s: %w", options.Name, err)
	}
	backend := &Backend{options: options, addr: listener.Addr().String()}
	backend.life = backend.serve(listener)
	return backend, nil
}

func (b *Backend) serve(listener net.Listener) *life {
	ctx, end := context.WithCancel(context.Background())
	server := &http.Server{
		Handler:     http.HandlerFunc(b.handle),
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    log.New(io.Discard, "", 0), // refused handshakes are asked for
	}
	tracking := &trackingListener{Listener: listener, open: map[net.Conn]bool{}}
	begun := &life{server: server, listener: tracking, end: end, served: make(chan struct{})}
	var accepting net.Listener = tracking
	if b.options.Certificate != nil {
		accepting = tls.NewListener(tracking, b.tlsConfig())
	}
	go func() {
		defer close(begun.served)
		_ = server.Serve(accepting) // ends with an error by Kill only
	}()
	return begun
}

func (b *Backend) tlsConfig() *tls.Config {
	config := &tls.Config{
		Certificates: []tls.Certificate{*b.options.Certificate},
		NextProtos:   []string{"http/1.1"},
		MinVersion:   tls.VersionTLS12,
	}
	if b.options.ClientCAs != nil {
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, b.options.ClientCAs
	}
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if !b.serves(hello.ServerName) {
			return nil, fmt.Errorf("server name %q is not served", hello.ServerName)
		}
		return nil, nil
	}
	return config
}

func (b *Backend) serves(host string) bool {
	return len(b.options.Hosts) == 0 || slices.Contains(b.options.Hosts, host)
}

func (b *Backend) handle(w http.ResponseWriter, r *http.Request) {
	b.ledger.add(recorded(r))
	w.Header().Set(BackendHeader, b.options.Name)
	if host := hostname(r.Host); !b.serves(host) {
		http.Error(w, fmt.Sprintf("host %q is not served", host), http.StatusMisdirectedRequest)
		return
	}
	if answer := b.answer.Load(); answer != nil {
		(*answer).ServeHTTP(w, r)
		return
	}
	_, script, _ := strings.Cut(r.URL.Path, "/do/")
	Do(script).ServeHTTP(w, r)
}

func hostname(hostport string) string {
	if name, _, err := net.SplitHostPort(hostport); err == nil {
		return name
	}
	return hostport
}

// Answer makes the backend answer every request with the handler, whatever
// the path says: Do("status/503") is an outage. Nil goes back to the path.
func (b *Backend) Answer(handler http.Handler) {
	if handler == nil {
		b.answer.Store(nil)
		return
	}
	b.answer.Store(&handler)
}

// Addr is "127.0.0.1:port", the same after a Revive.
func (b *Backend) Addr() string { return b.addr }

// URL is the backend's address with its scheme and no path.
func (b *Backend) URL() string {
	if b.options.Certificate != nil {
		return "https://" + b.addr
	}
	return "http://" + b.addr
}

// Kill closes the listener and all connections at once, as the end of a
// process does. What was recorded stays.
func (b *Backend) Kill() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.life == nil {
		return
	}
	b.life.end()
	b.life.listener.closeAll()
	_ = b.life.server.Close() // everything it could close is closed
	<-b.life.served
	b.life = nil
}

// Revive listens on the same port again. It does nothing while the backend
// lives.
func (b *Backend) Revive() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.life != nil {
		return nil
	}
	listener, err := listenAgain(b.addr)
	if err != nil {
		return fmt.Errorf("revive backend %s: %w", b.options.Name, err)
	}
	b.life = b.serve(listener)
	return nil
}

package testbed

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// BackendHeader carries the name of the backend in each of its answers.
const BackendHeader = "X-Testbed-Backend"

// Options configure a backend. The zero value is a plain HTTP server that answers for
// every host.
type Options struct {
	Name        string           // in the echo and the BackendHeader
	Certificate *tls.Certificate // https if not nil
	ClientCAs   *x509.CertPool   // https: requires a client certificate of one of these
	Hosts       []string         // the accepted Hosts (others get 421) and SNIs (others no handshake)
}

// Backend is an HTTP server on 127.0.0.1. It answers with an Echo, or as Answer or the
// path (see Do) say, and records its requests. It is safe for concurrent use.
type Backend struct {
	options    Options
	addr       string
	requestLog requestLog
	answer     atomic.Pointer[http.Handler]
	mu         sync.Mutex
	run        *serverRun // nil after Kill
}

// serverRun is the server between Start or Revive and Kill.
type serverRun struct {
	server   *http.Server
	listener *trackingListener
	end      context.CancelFunc
	served   chan struct{}
}

// Start starts a backend on a free port.
func Start(options Options) (*Backend, error) {
	listener, err := listenAnywhere()
	if err != nil {
		return nil, fmt.Errorf("start backend %s: %w", options.Name, err)
	}
	backend := &Backend{options: options, addr: listener.Addr().String()}
	backend.run = backend.serve(listener)
	return backend, nil
}

func (b *Backend) serve(listener net.Listener) *serverRun {
	ctx, end := context.WithCancel(context.Background())
	server := &http.Server{
		Handler:     http.HandlerFunc(b.handle),
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // tests cause failed handshakes on purpose
	}
	tracking := &trackingListener{Listener: listener, open: map[net.Conn]bool{}}
	begun := &serverRun{server: server, listener: tracking, end: end, served: make(chan struct{})}
	var accepting net.Listener = tracking
	if b.options.Certificate != nil {
		accepting = tls.NewListener(tracking, b.tlsConfig())
	}
	go func() {
		defer close(begun.served)
		_ = server.Serve(accepting) // the only error comes from Kill
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
	b.requestLog.add(recorded(r))
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

// Answer makes the backend answer every request with the handler, for example
// Do("status/503"), whatever the path is. Nil ends that.
func (b *Backend) Answer(handler http.Handler) {
	if handler == nil {
		b.answer.Store(nil)
		return
	}
	b.answer.Store(&handler)
}

// Addr is "127.0.0.1:port". It stays the same after Revive.
func (b *Backend) Addr() string { return b.addr }

// URL is the backend's address with its scheme, without a path.
func (b *Backend) URL() string {
	if b.options.Certificate != nil {
		return "https://" + b.addr
	}
	return "http://" + b.addr
}

// Kill closes the listener and all connections at once, like the end of a process. The
// recorded requests stay.
func (b *Backend) Kill() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.run == nil {
		return
	}
	b.run.end()
	b.run.listener.closeAll()
	_ = b.run.server.Close() // listener and connections are closed already
	<-b.run.served
	b.run = nil
}

// Revive listens on the same port again. It does nothing while the backend runs.
func (b *Backend) Revive() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.run != nil {
		return nil
	}
	listener, err := net.Listen("tcp4", b.addr)
	if err != nil {
		return fmt.Errorf("revive backend %s: %w", b.options.Name, err)
	}
	b.run = b.serve(listener)
	return nil
}

package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/healthz"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/migration-proxy/migration-proxy/internal/connections"
)

// Limits of the server. The port can be reached by everybody whom no NetworkPolicy
// stops, and controller-runtime's server has none of them.
const (
	headerTimeout  = 5 * time.Second // also of the TLS handshake
	idleTimeout    = 90 * time.Second
	writeTimeout   = 30 * time.Second // from the end of the header to the end of the answer
	maxHeaderBytes = 16 << 10
	maxStreams     = 64 // of one HTTP/2 connection
	shutdownLimit  = 10 * time.Second
)

// ServerOptions are the settings of a Server.
type ServerOptions struct {
	Address string // host:port to listen on; the host may be empty
	TLS     *tls.Config
}

// Server serves the webhooks by TLS. It takes the place of controller-runtime's server,
// which ends the context of every request as soon as its own ends, and has no limits of
// connections, header and time.
type Server struct {
	options ServerOptions
	mux     *http.ServeMux
	http    *http.Server
	started atomic.Bool
	leaving atomic.Bool
}

var _ ctrlwebhook.Server = (*Server)(nil)

// NewServer makes a server that does not listen yet.
func NewServer(options ServerOptions) *Server {
	s := &Server{options: options, mux: http.NewServeMux()}
	s.http = &http.Server{
		Handler: http.HandlerFunc(s.handle), TLSConfig: options.TLS,
		ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, WriteTimeout: writeTimeout, MaxHeaderBytes: maxHeaderBytes,
		// Anybody can make any number of failed connections.
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
		HTTP2:    &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
	}
	return s
}

// Register implements ctrlwebhook.Server.
func (s *Server) Register(path string, hook http.Handler) { s.mux.Handle(path, hook) }

// WebhookMux implements ctrlwebhook.Server.
func (s *Server) WebhookMux() *http.ServeMux { return s.mux }

// NeedLeaderElection implements ctrlwebhook.Server.
func (s *Server) NeedLeaderElection() bool { return false }

// StartedChecker implements ctrlwebhook.Server.
func (s *Server) StartedChecker() healthz.Checker {
	return func(*http.Request) error {
		if !s.started.Load() {
			return errors.New("the webhook server has not started yet")
		}
		return nil
	}
}

// Start serves until ctx ends. Then requests that have begun are answered.
func (s *Server) Start(ctx context.Context) error {
	listener, err := net.Listen("tcp", s.options.Address)
	if err != nil {
		return fmt.Errorf("listen for webhooks: %w", err)
	}
	return s.serve(ctx, listener)
}

func (s *Server) serve(ctx context.Context, listener net.Listener) error {
	limits := connections.New()
	s.http.ConnState = limits.Note
	s.started.Store(true)
	ended := make(chan error, 1)
	go func() { ended <- s.http.ServeTLS(limits.Listen(listener), "", "") }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve webhooks: %w", err)
	case <-ctx.Done():
	}
	return s.shutdown(context.WithoutCancel(ctx))
}

func (s *Server) shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, shutdownLimit)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("stop serving webhooks: %w", err)
	}
	return s.http.Close()
}

// Drain sends the API server to another replica: each connection ends after its next
// answer, in HTTP/2 by GOAWAY. An API server keeps a connection for as long as it may,
// also to a Pod that its Service no longer has. It speaks HTTP/1.1 to webhooks, so an idle
// connection must not be closed meanwhile, as http.Server.SetKeepAlivesEnabled does: a call
// that it sends at that moment is lost.
func (s *Server) Drain() { s.leaving.Store(true) }

func (s *Server) handle(w http.ResponseWriter, r *http.Request) {
	if s.leaving.Load() {
		w.Header().Set("Connection", "close")
	}
	s.mux.ServeHTTP(w, r)
}

package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	headerTimeout  = 5 * time.Second
	requestTimeout = 30 * time.Second // the metrics of 5,000 services take about one
	idleTimeout    = 2 * time.Minute
	mostScrapes    = 4 // at a time; more must not keep the probes waiting
	// shutdownTime is what a running answer gets to finish; Kubernetes kills
	// 30 s after it asked.
	shutdownTime = 5 * time.Second
)

// Options are what the server tells about.
type Options struct {
	// Alive returns nil while the process does its work; an error is shown by
	// /health, and makes Kubernetes restart the container.
	Alive func() error
	// Ready returns nil when traffic may come; an error is shown by /ready.
	Ready func() error
	// Status gives the replica's state now; nil: there is no /status and none
	// of its metrics.
	Status func() status.Status
	// Brief gives what /status?brief tells of it, and need not know more; nil:
	// Status.
	Brief func() status.Status
	// Collectors are scraped besides those of the process, the Go runtime and
	// the status.
	Collectors []prometheus.Collector
	Log        *slog.Logger
}

// Server answers on one listener.
type Server struct {
	handler http.Handler
	log     *slog.Logger
}

// New prepares a server. It fails when two collectors claim the same metric.
func New(options Options) (*Server, error) {
	metrics, err := metricsHandler(options)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/health", condition("alive", options.Alive))
	mux.Handle("/ready", condition("ready", options.Ready))
	mux.Handle("/metrics", metrics)
	listed := indexText
	if options.Status != nil {
		mux.Handle("/status", statusHandler(options))
		listed += indexStatus
	}
	mux.Handle("/{$}", index(listed))
	return &Server{handler: readOnly(mux), log: options.Log}, nil
}

// Run answers on the listener, which it closes, until ctx ends and the
// answers under way are given or five seconds are over.
func (s *Server) Run(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      requestTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	stopped := make(chan error, 1)
	go func() { stopped <- server.Serve(listener) }()
	select {
	case err := <-stopped:
		return fmt.Errorf("serve the HTTP API on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	return shutdown(server)
}

func shutdown(server *http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	err := server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return server.Close()
	}
	return err
}

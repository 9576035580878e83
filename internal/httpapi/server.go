package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/connections"
	"github.com/migration-proxy/migration-proxy/internal/history"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	headerTimeout  = 5 * time.Second
	requestTimeout = 30 * time.Second // the metrics of 5,000 services take about one
	idleTimeout    = 2 * time.Minute
	maxScrapes     = 4 // at once, so that the probes of Kubernetes need not wait
	maxHeaderBytes = 32 << 10
	// shutdownTime is the time for answers under way when the process ends;
	// Kubernetes kills it after 30 s.
	shutdownTime = 5 * time.Second
)

// Options are what the server shows. Alive, Ready and Log are required.
type Options struct {
	// Alive gives nil while the process works. /health shows its error, and
	// Kubernetes then restarts the container.
	Alive func() error
	// Ready gives nil while traffic may come. /ready shows its error.
	Ready func() error
	// Status gives the current state of a proxy replica; nil for another
	// process, which has no /status and none of its metrics.
	Status func() status.Status
	// Brief gives at least the fields of /status?brief; nil means Status.
	Brief func() status.Status
	// Evidence gives what the watcher compares for ramps; nil: there is no /evidence.
	Evidence func() status.Evidence
	// History gives the last hours of a service; nil: there is no /history.
	History func(service string) history.Document
	// Page serves "/" for browsers, and what is below "/ui/"; nil: there is only text.
	Page http.Handler
	// Comparison answers with what was found by asking both sides; nil: there is no
	// /comparison.
	Comparison http.Handler
	// Collectors add to the metrics of the process, the Go runtime and the
	// status.
	Collectors []prometheus.Collector
	Log        *slog.Logger
}

// Server serves the interface on one listener.
type Server struct {
	handler http.Handler
	log     *slog.Logger
}

// New makes a Server. It fails when two collectors have the same metric.
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
	if options.Evidence != nil {
		mux.Handle("/evidence", evidenceHandler(options.Evidence))
		listed += indexEvidence
	}
	if options.History != nil {
		mux.Handle("/history", historyHandler(options.History))
		listed += indexHistory
	}
	if options.Comparison != nil {
		mux.Handle("/comparison", options.Comparison)
		listed += indexComparison
	}
	if options.Page != nil {
		mux.Handle("/ui/", options.Page)
		mux.Handle("/{$}", indexOrPage(index(listed+indexPage), options.Page))
	} else {
		mux.Handle("/{$}", index(listed))
	}
	return &Server{handler: readOnly(mux), log: options.Log}, nil
}

// Run serves on the listener, which it closes, until ctx ends. Answers under
// way then have five seconds.
func (s *Server) Run(ctx context.Context, listener net.Listener) error {
	limits := connections.New()
	server := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      requestTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ConnState:         limits.Note,
		BaseContext:       func(net.Listener) context.Context { return ctx }, // ends the streams of the page
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	stopped := make(chan error, 1)
	go func() { stopped <- server.Serve(limits.Listen(listener)) }()
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

package watcher

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"

	"github.com/migration-proxy/migration-proxy/cluster"
)

// Options is what a Watcher needs. Only Config is required.
type Options struct {
	// Config reaches the API server. The Watcher makes a client of its own
	// from a copy of it, with its own rate (see rate in options.go).
	Config *rest.Config

	Namespace string // of our own objects; empty: cluster.Namespace
	ConfigMap string // empty: cluster.ConfigMap
	StateMap  string // empty: cluster.StateMap
	// ProxyService is the data plane's Service in Namespace; empty:
	// cluster.ProxyService. In other namespaces it is always the latter.
	ProxyService string

	// Ask gets one replica's /status; nil: over HTTP from the Pod's address.
	Ask func(context.Context, cluster.Endpoint) ([]byte, error)
	// Linger is how long the proxy's Service stays in a namespace where no
	// Ingress needs it any more, so that no ingress controller sees the
	// Service go before the Ingress changed; 0: 30 seconds.
	Linger time.Duration
	Log    *slog.Logger // nil: slog.Default()
}

// Watcher is the loop. It is a Runnable of a controller-runtime manager that
// only the leader runs, and a Prometheus collector, also where it does not run.
type Watcher struct{ options Options }

// New makes a Watcher; it fails when no client can be made of options.Config.
func New(options Options) (*Watcher, error) { return &Watcher{options}, nil }

// Start runs until the context ends. It returns nil then; API errors are
// retried for ever.
func (w *Watcher) Start(ctx context.Context) error { <-ctx.Done(); return nil }

// NeedLeaderElection says that only the leader runs it.
func (w *Watcher) NeedLeaderElection() bool { return true }

// Describe implements prometheus.Collector.
func (w *Watcher) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (w *Watcher) Collect(chan<- prometheus.Metric) {}

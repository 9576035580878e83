package apiwrite

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/migration-proxy/migration-proxy/internal/kube"
)

// requestTimeout bounds one request: the next attempt may reach another
// API server.
const requestTimeout = 5 * time.Second

// WithTimeout returns the context of one request.
func WithTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, requestTimeout)
}

// Counter is the metric of all writes to the API server.
type Counter struct{ *prometheus.CounterVec }

// NewCounter makes the metric.
func NewCounter() Counter {
	return Counter{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "migration_proxy_watcher_writes_total",
		Help: "Writes to the API server, by kind of object and result: ok, conflict, refused, failed.",
	}, []string{"kind", "result"})}
}

// Count counts a write, and returns its error.
func (c Counter) Count(kind string, err error) error {
	c.WithLabelValues(kind, writeResult(err)).Inc()
	return err
}

func writeResult(err error) string {
	switch {
	case err == nil:
		return "ok"
	case kube.IsWriteConflict(err):
		return "conflict"
	case apierrors.IsForbidden(err), apierrors.IsBadRequest(err), apierrors.IsUnauthorized(err):
		return "refused"
	}
	return "failed"
}

package webhook

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count and time the requests. controller-runtime has global metrics of
// its own, which may change with its version, so they are not published.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newMetrics() metrics {
	return metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "migration_proxy_admission_requests_total",
			Help: "Admission requests by kind (ingress, config) and result (rewritten, reverted, unchanged, passed, allowed, denied, failed).",
		}, []string{"kind", "result"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "migration_proxy_admission_duration_seconds",
			Help:    "Time to decide an admission request, without the network.",
			Buckets: prometheus.ExponentialBuckets(0.00005, 3, 10), // 50 us to 1 s
		}, []string{"kind"}),
	}
}

func (m metrics) observe(kind string, as result, took time.Duration) {
	m.requests.WithLabelValues(kind, string(as)).Inc()
	m.duration.WithLabelValues(kind).Observe(took.Seconds())
}

func (m metrics) describe(out chan<- *prometheus.Desc) {
	m.requests.Describe(out)
	m.duration.Describe(out)
}

func (m metrics) collect(out chan<- prometheus.Metric) {
	m.requests.Collect(out)
	m.duration.Collect(out)
}

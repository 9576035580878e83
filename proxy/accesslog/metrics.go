package accesslog

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/migration"
)

// labelService is the label that all metrics about services share.
const labelService = "service"

// metrics count since the agent started. Their series belong to the services of
// the table, to UnknownService and to NoService.
type metrics struct {
	requests *prometheus.CounterVec
	failures *prometheus.CounterVec
	latency  *prometheus.HistogramVec
	rescued  *prometheus.CounterVec
	cache    *prometheus.CounterVec
	lines    prometheus.Counter
	dropped  *prometheus.CounterVec

	notUnderstood, notForwarded, shed prometheus.Counter // of dropped
}

func newMetrics() *metrics {
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "migration_proxy_" + name, Help: help}, labels)
	}
	m := &metrics{
		requests: counters("requests_total",
			"Requests by service, side that answered the client (old, new, or none if the request went to no side), class of the status code, and reason of the decision.",
			labelService, "side", "code_class", "reason"),
		failures: counters("upstream_failures_total",
			"Failed requests of a side, also when the client got an answer from the other side, by kind: connect (TLS too), timeout, reset (also in the middle of an answer), redirect (to the address that was asked for), or status (500 and above).",
			labelService, "side", "kind"),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "migration_proxy_upstream_latency_seconds",
			Help:    "Time that a side took for a request, all tries together, without requests whose client closed the connection, upgraded connections, event streams and answers that went on for longer than a minute.",
			Buckets: latencyBounds[:],
		}, []string{labelService, "side"}),
		rescued: counters("rescued_total",
			"Requests that failed on new and that old then answered, by the failure of new: connect, timeout, reset or status.",
			labelService, "reason"),
		cache: counters("cache_requests_total",
			"Requests of services with a cache that it may answer, by the side whose answers it keeps and by result: hit, miss, expired (asked again), stale or updating (an old answer, as the backend allowed). A hit counts in requests_total with side none.",
			labelService, "side", "result"),
		lines: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "migration_proxy_log_lines_total", Help: "Lines of the access log that were read.",
		}),
		dropped: counters("log_dropped_total",
			"Lines of the access log that were not counted because they were not understood (not_understood) or because too many waited (shed), or counted but not written out because the reader was too slow (not_forwarded).",
			"cause"),
	}
	m.notUnderstood = m.dropped.WithLabelValues("not_understood")
	m.shed = m.dropped.WithLabelValues("shed")
	m.notForwarded = m.dropped.WithLabelValues("not_forwarded")
	return m
}

func (m *metrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.requests, m.failures, m.latency, m.rescued, m.cache, m.lines, m.dropped}
}

// Describe implements prometheus.Collector.
func (c *Counters) Describe(out chan<- *prometheus.Desc) {
	for _, collector := range c.metrics.all() {
		collector.Describe(out)
	}
}

// Collect implements prometheus.Collector.
func (c *Counters) Collect(out chan<- prometheus.Metric) {
	for _, collector := range c.metrics.all() {
		collector.Collect(out)
	}
}

// remove deletes all series of a service.
func (m *metrics) remove(service string) {
	labels := prometheus.Labels{labelService: service}
	m.requests.DeletePartialMatch(labels)
	m.failures.DeletePartialMatch(labels)
	m.latency.DeletePartialMatch(labels)
	m.rescued.DeletePartialMatch(labels)
	m.cache.DeletePartialMatch(labels)
}

// request gives the counter of requests like e.
func (m *metrics) request(service string, key requestKey) prometheus.Counter {
	return m.requests.WithLabelValues(service, orNone(key.side), codeClasses[key.class], orNone(key.reason))
}

// requestKey are the labels of a request, without the service.
type requestKey struct {
	side   migration.Side
	class  int // first digit of the status
	reason migration.Code
}

func orNone[T ~string](value T) string {
	if value == "" {
		return "none"
	}
	return string(value)
}

func (m *metrics) failure(service string, side migration.Side, failure fallback.Failure) {
	m.failures.WithLabelValues(service, string(side), string(failure)).Inc()
}

// codeClasses are the values of the label code_class, by the first digit of the
// status.
var codeClasses = [...]string{"other", "1xx", "2xx", "3xx", "4xx", "5xx"}

func classOf(status int) int {
	if class := status / 100; class < len(codeClasses) {
		return class
	}
	return 0
}

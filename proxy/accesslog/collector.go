package accesslog

import (
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/migration-proxy/migration-proxy/migration"
)

var (
	descRequests = prometheus.NewDesc("migration_proxy_requests_total",
		"Requests by service, the side whose answer the client got (old, new, or none when nobody was asked), class of the status the client got, and the reason for the decision.",
		[]string{"service", "side", "code_class", "reason"}, nil)
	descFailures = prometheus.NewDesc("migration_proxy_upstream_failures_total",
		"Requests that a side failed by its own outcome, whatever the client got: connect (TLS too), timeout and reset (also within an answer), or status (500 and above).",
		[]string{"service", "side", "kind"}, nil)
	descLatency = prometheus.NewDesc("migration_proxy_upstream_latency_seconds",
		"Time a side took for a request, all tries together; without requests whose client left, and without upgraded connections.",
		[]string{"service", "side"}, nil)
	descRescued = prometheus.NewDesc("migration_proxy_rescued_total",
		"Requests that new failed and old then answered, by what new did: connect, timeout, reset or status.",
		[]string{"service", "reason"}, nil)
	descLines = prometheus.NewDesc("migration_proxy_log_lines_total",
		"Access log lines read.", nil, nil)
	descDropped = prometheus.NewDesc("migration_proxy_log_dropped_total",
		"Access log lines not counted (not_understood) or counted but not written out, because whoever collects them was too slow (not_forwarded).",
		[]string{"cause"}, nil)
)

// classes are the values of code_class, by series.class.
var classes = [...]string{"other", "1xx", "2xx", "3xx", "4xx", "5xx"}

// Describe implements prometheus.Collector.
func (c *Counters) Describe(out chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{
		descRequests, descFailures, descLatency, descRescued, descLines, descDropped,
	} {
		out <- desc
	}
}

// Collect implements prometheus.Collector. It holds the lock for one service
// at a time, so that a scrape of thousands does not hold up the reader.
func (c *Counters) Collect(out chan<- prometheus.Metric) {
	for _, metric := range c.logMetrics() {
		out <- metric
	}
	for _, name := range c.names() {
		for _, metric := range c.serviceMetrics(name) {
			out <- metric
		}
	}
}

func (c *Counters) logMetrics() []prometheus.Metric {
	c.mu.Lock()
	defer c.mu.Unlock()
	return []prometheus.Metric{
		counter(descLines, c.lines),
		counter(descDropped, c.notUnderstood, "not_understood"),
		counter(descDropped, c.notForwarded(), "not_forwarded"),
	}
}

func (c *Counters) names() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append(slices.Collect(maps.Keys(c.services)), UnknownService, NoService)
}

func (c *Counters) serviceMetrics(name string) []prometheus.Metric {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.named(name)
	if s == nil {
		return nil
	}
	var metrics []prometheus.Metric
	for key, n := range s.requests {
		reason := orNone(key.reason)
		metrics = append(metrics, counter(descRequests, n, name, key.side, classes[key.class], reason))
	}
	metrics = append(metrics, s.old.metrics(name, migration.Old)...)
	return append(metrics, s.new.metrics(name, migration.New)...)
}

// named gives the row of a name; nil for one dropped from the table since.
func (c *Counters) named(name string) *service {
	switch name {
	case UnknownService:
		return c.unknown
	case NoService:
		return c.none
	}
	return c.services[name]
}

func orNone(reason migration.Code) string {
	if reason == "" {
		return "none"
	}
	return string(reason)
}

func (s *side) metrics(service string, which migration.Side) []prometheus.Metric {
	if s == nil {
		return nil
	}
	counts, total := s.latency.cumulative()
	metrics := []prometheus.Metric{
		prometheus.MustNewConstHistogram(descLatency, total, s.latency.sum, counts, service, string(which)),
	}
	for kind, n := range s.failures {
		metrics = append(metrics, counter(descFailures, n, service, string(which), string(kind)))
	}
	for kind, n := range s.rescued {
		metrics = append(metrics, counter(descRescued, n, service, string(kind)))
	}
	return metrics
}

func counter(desc *prometheus.Desc, n uint64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n), labels...)
}

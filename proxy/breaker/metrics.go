package breaker

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/migration"
)

// counts are the transitions made since the agent started.
type counts map[transition]uint64

type transition struct {
	service migration.Name
	code    fallback.Cause
}

func (c counts) add(service migration.Name, code fallback.Cause) { c[transition{service, code}]++ }

var descTransitions = prometheus.NewDesc("migration_proxy_fallback_transitions_total",
	"Changes of a service's fallback since the agent started, by reason: failures and unhealthy trip, recovery_started and recovered undo it.",
	[]string{"service", "reason"}, nil)

// Describe implements prometheus.Collector.
func (g *Breaker) Describe(out chan<- *prometheus.Desc) { out <- descTransitions }

// Collect implements prometheus.Collector. Services that are gone are not
// reported.
func (g *Breaker) Collect(out chan<- prometheus.Metric) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for t, n := range g.counts {
		if g.watched[t.service] == nil {
			delete(g.counts, t)
			continue
		}
		out <- prometheus.MustNewConstMetric(descTransitions, prometheus.CounterValue, float64(n), string(t.service), string(t.code))
	}
}

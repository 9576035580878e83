package breaker

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/migration"
)

// transitionCounts are the numbers of transitions since the agent started.
type transitionCounts map[transition]uint64

type transition struct {
	service migration.Name
	cause   fallback.Cause
}

func (c transitionCounts) add(service migration.Name, cause fallback.Cause) {
	c[transition{service, cause}]++
}

var descTransitions = prometheus.NewDesc("migration_proxy_fallback_transitions_total",
	"Transitions of the circuit breaker of a service since the agent started, by reason: failures, unhealthy and operator_trip end the traffic to new; recovery_started, recovered, operator_clear and user_edit let it continue; held_old_down is a trip that was not made because old is down.",
	[]string{"service", "reason"}, nil)

// Describe implements prometheus.Collector.
func (b *Breaker) Describe(out chan<- *prometheus.Desc) { out <- descTransitions }

// Collect implements prometheus.Collector. Services that are not in the table
// are left out.
func (b *Breaker) Collect(out chan<- prometheus.Metric) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for t, n := range b.counts {
		if b.services[t.service] == nil {
			delete(b.counts, t)
			continue
		}
		out <- prometheus.MustNewConstMetric(descTransitions, prometheus.CounterValue, float64(n), string(t.service), string(t.cause))
	}
}

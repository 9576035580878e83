package clusterramp

import (
	"maps"
	"math"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/migration-proxy/migration-proxy/internal/gauge"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/ramp"
)

var (
	descPosition    = gauge.Desc("ramp_position_ratio", "Position of a service's ramp, 0 to 1. The service gets the smaller one of it and of the ceiling.", "service")
	descCeiling     = gauge.Desc("ramp_ceiling_ratio", "percentage of a service with a ramp, 0 to 1; 0 while it is disabled.", "service")
	descState       = gauge.Desc("ramp_state", "1 for what a ramp does; reason is why it waits.", "service", "state", "reason")
	descNeedsPerson = gauge.Desc("ramp_needs_person", "1 while only a person can let a ramp go on: it asks, or it is held.", "service")
	descOdds        = gauge.Desc("ramp_odds", "How many times old's odds are new's in the present step, by measure: failures, slow. It is absent before both sides had requests.", "service", "measure")
	descEvidence    = gauge.Desc("ramp_evidence", "Evidence in the present step: bad is the logarithm of the bet that new is bad (6.9 is), good that of the bet that new is good (3 is).", "service", "side")
	descs           = []*prometheus.Desc{descPosition, descCeiling, descState, descNeedsPerson, descOdds, descEvidence}
)

// gaugeValues is what the gauges of the ramps show.
type gaugeValues struct {
	decisions map[string]ramp.Decision
	ceilings  map[string]migration.Share
}

// Metrics are the metrics of the ramps. While no controller runs only the counter
// exists.
type Metrics struct {
	transitions *prometheus.CounterVec
	values      atomic.Pointer[gaugeValues]
}

// NewMetrics makes the metrics, which outlive the controllers.
func NewMetrics() *Metrics {
	return &Metrics{transitions: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "migration_proxy_ramp_transitions_total",
		Help: "Transitions of a service's ramp, by the state that it came to.",
	}, []string{"service", "to"})}
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(out chan<- *prometheus.Desc) {
	m.transitions.Describe(out)
	for _, d := range descs {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(out chan<- prometheus.Metric) {
	m.transitions.Collect(out)
	if values := m.values.Load(); values != nil {
		values.collect(gauge.To(out))
	}
}

// publish hands the gauges what the last tick decided.
func (m *Metrics) publish(table *migration.Table, decisions map[string]ramp.Decision) {
	values := &gaugeValues{decisions: maps.Clone(decisions), ceilings: map[string]migration.Share{}}
	for name := range values.decisions {
		if s := table.Service(migration.Name(name)); s != nil {
			values.ceilings[name] = s.EffectiveShare()
		}
	}
	m.values.Store(values)
}

func (v *gaugeValues) collect(set gauge.Set) {
	for name, d := range v.decisions {
		set(descPosition, d.To.Percent()/100, name)
		set(descCeiling, v.ceilings[name].Percent()/100, name)
		set(descState, 1, name, string(d.Phase), string(d.Reason))
		set(descNeedsPerson, gauge.OneIf(d.NeedsPerson), name)
		if d.Summary.Failures != (ramp.Odds{}) {
			set(descOdds, d.Summary.Failures.Ratio, name, "failures")
		}
		if d.Summary.Slow != (ramp.Odds{}) {
			set(descOdds, d.Summary.Slow.Ratio, name, "slow")
		}
		set(descEvidence, math.Log(max(d.Summary.BadBet, 1e-9)), name, "bad")
		set(descEvidence, d.Summary.GoodBet, name, "good")
	}
}

package watcher

import (
	"maps"
	"math"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/ramp"
)

var (
	descRampPosition = desc("ramp_position_ratio", "Position of a service's ramp, 0 to 1. The service gets the smaller one of it and of the ceiling.", "service")
	descRampCeiling  = desc("ramp_ceiling_ratio", "percentage of a service with a ramp, 0 to 1; 0 while it is disabled.", "service")
	descRampState    = desc("ramp_state", "1 for what a ramp does; reason is why it waits.", "service", "state", "reason")
	descRampNeedsYou = desc("ramp_needs_person", "1 while only a person can let a ramp go on: it asks, or it is held.", "service")
	descRampOdds     = desc("ramp_odds", "How many times old's odds are new's in the present step, by measure: failures, slow. It is absent before both sides had requests.", "service", "measure")
	descRampEvidence = desc("ramp_evidence", "Evidence in the present step: bad is the logarithm of the bet that new is bad (6.9 is), good that of the bet that new is good (3 is).", "service", "side")
	rampDescs        = []*prometheus.Desc{descRampPosition, descRampCeiling, descRampState, descRampNeedsYou, descRampOdds, descRampEvidence}
)

// rampValues is what the gauges of the ramps show.
type rampValues struct {
	decisions map[string]ramp.Decision
	ceilings  map[string]migration.Share
}

// publish hands the gauges what the last tick decided.
func (c *rampController) publish() {
	values := &rampValues{decisions: maps.Clone(c.decisions), ceilings: map[string]migration.Share{}}
	table := c.desired.Load().Table
	for name := range values.decisions {
		if s := table.Service(migration.Name(name)); s != nil {
			values.ceilings[name] = s.EffectiveShare()
		}
	}
	c.metrics.ramps.Store(values)
}

func (v *rampValues) collect(gauge gauge) {
	for name, d := range v.decisions {
		gauge(descRampPosition, d.To.Percent()/100, name)
		gauge(descRampCeiling, v.ceilings[name].Percent()/100, name)
		gauge(descRampState, 1, name, string(d.Phase), string(d.Reason))
		gauge(descRampNeedsYou, oneIf(d.NeedsPerson), name)
		if d.Summary.Failures != (ramp.Odds{}) {
			gauge(descRampOdds, d.Summary.Failures.Ratio, name, "failures")
		}
		if d.Summary.Slow != (ramp.Odds{}) {
			gauge(descRampOdds, d.Summary.Slow.Ratio, name, "slow")
		}
		gauge(descRampEvidence, math.Log(max(d.Summary.BadBet, 1e-9)), name, "bad")
		gauge(descRampEvidence, d.Summary.GoodBet, name, "good")
	}
}

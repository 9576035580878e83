package clusterramp

import (
	"fmt"
	"maps"
	"time"

	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/ramp"
	"github.com/migration-proxy/migration-proxy/ramp/leader"
	"github.com/migration-proxy/migration-proxy/watcher/desiredstate"
	"github.com/migration-proxy/migration-proxy/watcher/events"
)

// report tells people what a step did: the log, an Event, the journal.
func (c *Controller) report(desired *desiredstate.State, name string, d ramp.Decision) {
	for _, entry := range leader.Entries(name, c.states[name], d, time.Now()) {
		if entry.Evidence != nil {
			entry.Evidence.Replicas, entry.Evidence.Digest = c.meter.Count(), desired.Table.Digest()
		}
		c.options.Journal.Append(entry)
	}
	if d.Command != nil {
		c.options.Log.Info("ramp command", "service", name, "verb", string(d.Command.Verb), "by", d.Command.By, "reason", d.Command.Reason, "refused", d.Refused)
	}
	if !d.Transition {
		return
	}
	c.options.Metrics.transitions.WithLabelValues(name, string(d.Phase)).Inc()
	c.options.Log.Info("ramp moved", "service", name, "from", d.From.String(), "to", d.To.String(), "phase", string(d.Phase), "reason", string(d.Reason), "why", d.Why, "by", d.By)
	switch {
	case d.To > d.From:
		c.event(desired, events.RampAdvanced, fmt.Sprintf("service %s: %s %% -> %s %%: %s", name, d.From, d.To, d.Why))
	case d.To < d.From:
		c.event(desired, events.RampReturned, fmt.Sprintf("service %s: %s %% -> %s %%: %s", name, d.From, d.To, d.Why))
	case d.NeedsPerson:
		c.event(desired, events.RampWaiting, fmt.Sprintf("service %s at %s %%: %s", name, d.To, d.Why))
	}
}

// event writes an Event on the migration config.
func (c *Controller) event(desired *desiredstate.State, reason, text string) {
	if desired.ConfigMap == nil {
		return
	}
	said := events.Normal(reason, text)
	if reason == events.RampReturned || reason == events.RampStateLost || reason == events.RampWaiting {
		said = events.Warning(reason, text)
	}
	// Each write of migration-ramp is another related object, so that no Event counts as
	// a repetition of the one before.
	version, _ := c.options.Store.get()
	if version == nil {
		c.options.Events.Write(desired.ConfigMap, said)
		return
	}
	c.options.Events.WriteAbout(desired.ConfigMap, version, said)
}

// publish hands the gauges what the last tick decided.
func (c *Controller) publish() {
	values := &gaugeValues{decisions: maps.Clone(c.decisions), ceilings: map[string]migration.Share{}}
	table := c.options.Desired.Load().Table
	for name := range values.decisions {
		if s := table.Service(migration.Name(name)); s != nil {
			values.ceilings[name] = s.EffectiveShare()
		}
	}
	c.options.Metrics.values.Store(values)
}

package watcher

import (
	"fmt"
	"time"

	"github.com/migration-proxy/migration-proxy/ramp"
	"github.com/migration-proxy/migration-proxy/ramp/leader"
	"github.com/migration-proxy/migration-proxy/watcher/desiredstate"
	"github.com/migration-proxy/migration-proxy/watcher/events"
)

// report tells people what a step did: the log, an Event, the journal.
func (c *rampController) report(desired *desiredstate.State, name string, d ramp.Decision) {
	for _, entry := range leader.Entries(name, c.states[name], d, time.Now()) {
		if entry.Evidence != nil {
			entry.Evidence.Replicas, entry.Evidence.Digest = c.meter.Count(), desired.Table.Digest()
		}
		c.journal.append(entry)
	}
	if d.Command != nil {
		c.log.Info("ramp command", "service", name, "verb", string(d.Command.Verb), "by", d.Command.By, "reason", d.Command.Reason, "refused", d.Refused)
	}
	if !d.Transition {
		return
	}
	c.metrics.rampTransitions.WithLabelValues(name, string(d.Phase)).Inc()
	c.log.Info("ramp moved", "service", name, "from", d.From.String(), "to", d.To.String(), "phase", string(d.Phase), "reason", string(d.Reason), "why", d.Why, "by", d.By)
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
func (c *rampController) event(desired *desiredstate.State, reason, text string) {
	if desired.ConfigMap == nil {
		return
	}
	said := events.Normal(reason, text)
	if reason == events.RampReturned || reason == events.RampStateLost || reason == events.RampWaiting {
		said = events.Warning(reason, text)
	}
	// Each write of migration-ramp is another related object, so that no Event counts as
	// a repetition of the one before.
	version, _ := c.store.get()
	if version == nil {
		c.events.Write(desired.ConfigMap, said)
		return
	}
	c.events.WriteAbout(desired.ConfigMap, version, said)
}

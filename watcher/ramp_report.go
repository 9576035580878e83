package watcher

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/migration-proxy/migration-proxy/journal"
	"github.com/migration-proxy/migration-proxy/ramp"
)

// report tells people what a step did: the log, an Event, the journal.
func (c *rampController) report(desired *desiredState, name string, d ramp.Decision) {
	if d.Command != nil {
		c.reportCommand(name, d)
	}
	if !d.Transition {
		return
	}
	c.metrics.rampTransitions.WithLabelValues(name, string(d.Phase)).Inc()
	what := fmt.Sprintf("ramp %s -> %s", orBegin(d.Was), d.Phase)
	if d.From != d.To {
		what = fmt.Sprintf("share %s -> %s", d.From, d.To)
	}
	c.log.Info("ramp moved", "service", name, "from", d.From.String(), "to", d.To.String(), "phase", string(d.Phase), "reason", string(d.Reason), "why", d.Why, "by", d.By)
	kind := journal.RampChanged
	switch {
	case d.To > d.From:
		kind = journal.RampAdvanced
		c.event(desired, EventRampAdvanced, fmt.Sprintf("service %s: %s %% -> %s %%: %s", name, d.From, d.To, d.Why))
	case d.To < d.From:
		kind = journal.RampReturned
		c.event(desired, EventRampReturned, fmt.Sprintf("service %s: %s %% -> %s %%: %s", name, d.From, d.To, d.Why))
	case d.NeedsPerson:
		kind = journal.RampNeedsYou
		c.event(desired, EventRampWaiting, fmt.Sprintf("service %s at %s %%: %s", name, d.To, d.Why))
	}
	entry := journal.Entry{
		At: c.states[name].Since, Kind: kind, Service: name, From: d.From.String(), To: d.To.String(), What: what, Why: d.Why, By: d.By,
		Evidence: c.evidence(desired, d.Summary),
	}
	if d.From != d.To {
		entry.At = c.states[name].StepSince
	}
	c.journal.append(entry)
}

func orBegin(phase ramp.Phase) ramp.Phase {
	if phase == "" {
		return ramp.Off
	}
	return phase
}

// reportCommand tells what became of a command. One that moved something is a
// transition as well.
func (c *rampController) reportCommand(name string, d ramp.Decision) {
	what := fmt.Sprintf("ramp %s at %s %%", d.Command.Verb, d.From)
	if d.Refused != "" {
		what += " did nothing: " + d.Refused
	}
	c.log.Info("ramp command", "service", name, "verb", string(d.Command.Verb), "by", d.Command.By, "reason", d.Command.Reason, "refused", d.Refused)
	c.journal.append(journal.Entry{
		At: time.Now(), Kind: journal.RampChanged, Service: name, What: what, Why: d.Command.Reason, By: d.Command.By,
	})
}

func (c *rampController) evidence(desired *desiredState, s ramp.Summary) *journal.Evidence {
	if s.New.Requests+s.Old.Requests == 0 {
		return nil
	}
	return &journal.Evidence{
		Old: rampSide(s.Old), New: rampSide(s.New),
		Odds: s.Failures.Ratio, OddsLow: s.Failures.Low, OddsHigh: s.Failures.High,
		Bad: s.BadBet, Good: s.GoodBet, Replicas: c.meter.Count(), Digest: desired.table.Digest(),
	}
}

func rampSide(c ramp.Counts) journal.Side {
	return journal.Side{Requests: c.Requests, Failed: c.Failed, Slow: c.Slow}
}

// event writes an Event on the migration config.
func (c *rampController) event(desired *desiredState, reason, text string) {
	if desired.configMap == nil {
		return
	}
	kind := corev1.EventTypeNormal
	if reason == EventRampReturned || reason == EventRampLost || reason == EventRampWaiting {
		kind = corev1.EventTypeWarning
	}
	// Each write of migration-ramp is another related object, so that no Event counts as
	// a repetition of the one before.
	version, _ := c.store.get()
	if version == nil {
		c.events.write(desired.configMap, event{kind, reason, text})
		return
	}
	c.events.writeAbout(desired.configMap, version, event{kind, reason, text})
}

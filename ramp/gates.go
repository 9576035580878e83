package ramp

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/migration-proxy/migration-proxy/migration"
)

// obstacle is why the ramp waits whatever was measured.
func (m *machine) obstacle() Gate {
	switch {
	case m.in.Unserved != "":
		return Gate{ReasonNotInSync, m.in.Unserved}
	case m.Held != nil:
		return Gate{ReasonHeld, m.Held.String()}
	case m.Evidence.OldIll:
		return Gate{ReasonOldIll, "more than 20 % of its requests fail"}
	case m.BadReplica != "" && m.Evidence.New.Requests < uint64(m.config.Ramp.Judge.MinRequests):
		return Gate{ReasonReplica, m.BadReplica + " has more than 80 % of new's failures, so its own way to new is broken"}
	case m.config.Ramp.Advise:
		return m.advice()
	}
	return Gate{}
}

// advice is what the ramp would do; no Reason while it would do nothing.
func (m *machine) advice() Gate {
	if m.Position >= m.config.last() || !m.ready() {
		return Gate{}
	}
	return Gate{ReasonAdvise, fmt.Sprintf("new is good: write percentage %s", m.config.stepAbove(m.Position))}
}

// stepAbove is the lowest step above the position, whatever the ceiling is.
func (c Config) stepAbove(position migration.Share) migration.Share {
	c.Ceiling = migration.FullShare
	return c.Next(position)
}

// gate is what forbids the step up to a share; no Reason if nothing does.
func (m *machine) gate(next migration.Share) Gate {
	for _, freeze := range m.config.Freeze {
		if freeze.Contains(m.now) {
			return Gate{ReasonFreeze, "until " + freeze.Until.Format("2006-01-02T15:04Z07:00")}
		}
	}
	if only := m.config.Ramp.Only; only != nil && !only.Open(m.now) {
		return Gate{ReasonWindow, only.String()}
	}
	for _, name := range slices.Sorted(maps.Keys(m.in.Limits)) {
		if limit := m.in.Limits[name]; limit < next {
			return Gate{ReasonDependency, fmt.Sprintf("%s is at %s", name, limit)}
		}
	}
	if len(m.in.Gates) > 0 {
		return m.in.Gates[0]
	}
	if m.config.asks(next) && m.Approved < next {
		return Gate{ReasonAsk, fmt.Sprintf("a person approves the step to %s", next)}
	}
	return Gate{}
}

// String says who holds the ramp, and why.
func (h *Hold) String() string {
	text := cmp.Or(h.Reason, "no reason given")
	if h.By == "" {
		return text
	}
	return "by " + h.By + ": " + text
}

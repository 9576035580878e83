package ramp

import (
	"cmp"
	"fmt"
)

// command does what a person wants, once, and tells whether that decides this step.
func (m *machine) command() bool {
	c := m.in.Command
	if c == nil || c.ID == m.Command {
		return false
	}
	m.Command, m.taken, m.by = c.ID, c, c.By
	m.refused = m.refusal(*c)
	m.Refused = m.refused
	if m.refused != "" {
		return false
	}
	m.why = fmt.Sprintf("%s by %s: %s", c.Verb, c.By, cmp.Or(c.Reason, "no reason given"))
	next := m.config.Next(m.Position)
	switch c.Verb {
	case Approve:
		m.Approved, m.ApprovedBy = next, c.By
	case HoldOn:
		m.Held = &Hold{By: c.By, Reason: c.Reason}
	case Resume:
		m.Held, m.Bads, m.Until = nil, nil, m.now
	case Skip:
		m.rise(next)
		return true
	case Back:
		m.Held = &Hold{By: c.By, Reason: cmp.Or(c.Reason, "it went back by hand")}
		m.fall(m.config.previous(m.Position))
		return true
	}
	return false
}

// refusal is why a command does nothing; "" if it does something. Hold is safe at any
// position; the others are about the one that the person saw.
func (m *machine) refusal(c Command) string {
	moves := c.Verb == Skip || c.Verb == Back
	up := c.Verb == Skip || c.Verb == Approve
	switch {
	case c.Verb != Approve && c.Verb != HoldOn && c.Verb != Resume && !moves:
		return fmt.Sprintf("%.40q is not a command of a ramp", string(c.Verb))
	case c.Verb == HoldOn:
		return ""
	case c.Position != m.Position:
		return fmt.Sprintf("it was typed for %s %%, and the ramp is at %s %%", c.Position, m.Position)
	case moves && m.config.Ramp.Advise:
		return "the ramp only advises; write the percentage"
	case moves && (m.in.FallenBack || m.Tripped):
		return "the service has fallen back"
	case (up || moves) && m.Phase == Returning:
		return "the share is falling"
	case up && m.config.Next(m.Position) == m.Position:
		return fmt.Sprintf("there is no step above %s %%: percentage is %s", m.Position, m.config.Ceiling)
	case c.Verb == Back && m.Position == 0:
		return "the share is 0 already"
	}
	return ""
}

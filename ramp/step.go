package ramp

import (
	"fmt"
	"time"

	"github.com/migration-proxy/migration-proxy/migration"
)

// servedWithin is how long replicas have to serve a new position before the ramp
// says that it waits for one.
const servedWithin = 2 * time.Minute

// Step continues a ramp. Its caller calls it about every ten seconds, and writes the
// state before anybody follows the position.
func Step(c Config, s State, in Sample, now time.Time) (State, Decision) {
	m := &machine{State: s.clone(), config: c, before: s, in: in, now: now.UTC()}
	m.step()
	return m.State, m.decision()
}

// machine is one Step under way.
type machine struct {
	State
	config  Config
	before  State
	in      Sample
	now     time.Time
	judged  Summary  // the evidence at the end of the slot
	why, by string   // of a change
	taken   *Command // the command of this step
	refused string
}

func (m *machine) step() {
	if !m.config.on() {
		m.State = State{Phase: Off, Since: m.Since, Command: m.Command, Refused: m.Refused, Structure: m.config.Structure}
		m.enter(Off, Gate{})
		return
	}
	m.mendClock()
	if m.follow() {
		m.judged = m.summary()
		return
	}
	m.measure()
	m.judged = m.summary()
	switch {
	case m.command():
	case m.in.FallenBack:
		m.Tripped = true
		m.enter(Waiting, Gate{ReasonFallenBack, "the fallback of the service"})
	case m.Tripped:
		m.resumeLower()
	case m.Phase == Returning:
		m.portion()
	case m.judged.Verdict == Bad && m.Position > 0:
		m.bad()
	case m.Phase == Cooling && m.now.Before(m.Until):
	default:
		m.proceed()
	}
}

// enter changes phase and reason; Since stays when both stay.
func (m *machine) enter(phase Phase, gate Gate) {
	if m.Phase != phase || m.Reason != gate.Reason {
		m.Since = m.now
	}
	m.Phase, m.Reason, m.Detail = phase, gate.Reason, gate.Detail
}

// mendClock brings times back that a clock which was set back left in the future.
func (m *machine) mendClock() {
	m.Since, m.StepSince = earlier(m.Since, m.now), earlier(m.StepSince, m.now)
	longest := maxCooling * m.config.Recovery
	if m.Phase == Returning {
		longest = m.config.Ramp.Back.Every
	}
	m.Until = earlier(m.Until, m.now.Add(longest))
}

func earlier(a, b time.Time) time.Time {
	if a.After(b) {
		return b
	}
	return a
}

// follow takes edits of the config in, and tells whether one moved the position.
func (m *machine) follow() bool {
	if m.Structure != m.config.Structure {
		m.Structure, m.Evidence, m.BadReplica = m.config.Structure, Evidence{}, ""
	}
	if m.Phase == Off || m.Phase == "" {
		m.Phase, m.Since, m.StepSince = Measuring, m.now, m.now
		m.why = "the ramp begins"
	}
	switch {
	case m.Position > m.config.Ceiling:
		m.why = fmt.Sprintf("percentage is %s, which is the ceiling", m.config.Ceiling)
	case m.config.Ramp.Advise && m.Position != m.config.Ceiling:
		m.why = fmt.Sprintf("percentage is %s, and the ramp only advises", m.config.Ceiling)
	default:
		return false
	}
	m.move(m.config.Ceiling)
	if m.Phase != Returning || m.Position <= m.Target {
		m.enter(Measuring, Gate{})
	}
	return true
}

// move changes the position. What was measured belongs to the position before.
func (m *machine) move(to migration.Share) {
	m.Position, m.Settling, m.StepSince = to, true, m.now
	m.Evidence, m.BadReplica = Evidence{}, ""
}

// measure takes the slot in. The first slot in which all replicas serve the position
// also has requests from before, so the evidence begins after it.
func (m *machine) measure() {
	switch {
	case m.in.Unserved != "" || m.in.FallenBack || m.Phase == Returning:
	case m.Settling:
		m.Settling, m.StepSince = false, m.now
	default:
		m.Evidence.add(m.config, m.Position, m.in.Slot)
	}
}

// proceed rises, or says why not.
func (m *machine) proceed() {
	next := m.config.Next(m.Position)
	gate := m.obstacle()
	switch {
	case m.Phase == Rising && m.Settling && m.now.Sub(m.Since) < servedWithin:
	case gate.Reason != "":
		m.enter(Waiting, gate)
	case m.Position >= m.config.last():
		m.enter(Done, Gate{})
	case next == m.Position:
		m.enter(Waiting, Gate{ReasonCeiling, fmt.Sprintf("percentage is %s", m.config.Ceiling)})
	case !m.ready():
		m.enter(Measuring, Gate{})
	default:
		m.mayRise(next)
	}
}

// ready tells whether the position was served long enough and new is good there. At 0
// nothing can be measured.
func (m *machine) ready() bool {
	held := m.now.Sub(m.StepSince)
	if m.Position == 0 {
		return true
	}
	quiet := m.config.Ramp.NoData
	return !m.Settling && held >= m.config.hold(m.Position) &&
		(m.judged.Verdict == Good || quiet > 0 && held >= quiet && m.Evidence.New.Failed == 0)
}

// mayRise rises if no gate is closed.
func (m *machine) mayRise(next migration.Share) {
	if gate := m.gate(next); gate.Reason != "" {
		m.enter(Waiting, gate)
		return
	}
	m.why = m.judged.String()
	if m.Position == 0 {
		m.why = "the first step"
	}
	if m.config.asks(next) {
		m.by = m.ApprovedBy
		m.why += "; approved by " + m.ApprovedBy
	}
	m.rise(next)
}

func (m *machine) rise(next migration.Share) {
	delete(m.Bads, m.Position)
	if len(m.Bads) == 0 {
		m.Bads = nil // as DecodeState reads it
	}
	m.Approved, m.ApprovedBy = 0, ""
	m.move(next)
	m.enter(Rising, Gate{})
}

package ramp

import (
	"fmt"
	"time"

	"github.com/migration-proxy/migration-proxy/migration"
)

// maxBads is how often new may be bad at a position before a person must look;
// maxCooling limits the doubling of the cooling.
const maxBads, maxCooling = 3, 8

// bad acts on the verdict that new is bad at the position.
func (m *machine) bad() {
	if replica := m.Evidence.badReplica(); replica != "" {
		m.Evidence, m.BadReplica = Evidence{}, replica
		m.enter(Waiting, m.obstacle())
		return
	}
	target := m.config.previous(m.Position)
	if m.config.Ramp.Back.ToZero {
		target = 0
	}
	if m.config.Ramp.Advise {
		m.enter(Waiting, Gate{ReasonAdvise, fmt.Sprintf("new is bad: write percentage %s", target)})
		return
	}
	if m.Bads == nil {
		m.Bads = map[migration.Share]int{}
	}
	m.Bads[m.Position]++
	if m.Bads[m.Position] >= maxBads {
		m.Held = &Hold{Reason: fmt.Sprintf("new was bad %d times at %s %%", m.Bads[m.Position], m.Position)}
	}
	m.why = "new is bad: " + m.judged.String()
	m.fall(target)
}

// fall begins to return to a position.
func (m *machine) fall(target migration.Share) {
	m.Approved, m.ApprovedBy = 0, ""
	m.BadAt, m.Target, m.Until = m.Position, target, m.now
	m.enter(Returning, Gate{})
	m.portion()
}

// portion falls by the next portion when it is time, and cools at the end.
func (m *machine) portion() {
	if m.now.Before(m.Until) {
		return
	}
	to := max(m.Target, m.Position-m.config.Ramp.Back.By)
	if to < m.Position {
		m.move(to)
	}
	if m.Position > m.Target {
		m.Until = m.now.Add(m.config.Ramp.Back.Every)
		return
	}
	m.Until = m.now.Add(m.cooling())
	m.enter(Cooling, Gate{})
}

// cooling is how long the ramp waits: longer each time that new was bad there.
func (m *machine) cooling() time.Duration {
	doubled := m.config.Recovery
	for range min(m.Bads[m.BadAt]-1, 3) {
		doubled *= 2
	}
	return min(doubled, maxCooling*m.config.Recovery)
}

// resumeLower continues after a fallback: one step lower, but not below the first.
func (m *machine) resumeLower() {
	m.Tripped = false
	to := min(m.Position, max(m.config.previous(m.Position), m.config.Ramp.Steps[0].To))
	m.why = fmt.Sprintf("the service had fallen back at %s %%", m.Position)
	m.Approved, m.ApprovedBy = 0, ""
	if m.config.Ramp.Advise {
		to = m.Position
	}
	m.move(to)
	m.enter(Measuring, Gate{})
}

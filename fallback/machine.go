package fallback

import (
	"time"

	"github.com/migration-proxy/migration-proxy/internal/status"
)

// Machine holds the Config, State and Counts of one service. Its caller passes
// in every request, every command and, once a second, the time. It is not safe
// for concurrent use.
type Machine struct {
	config Config
	state  State
	counts *Counts
	probes Probes
}

// New makes a machine that continues from state: a stored one, or State{}.
// Call Tick before its state directs traffic, so that the config takes effect.
func New(config Config, state State) *Machine {
	if state.Phase == "" {
		state.Phase = status.Migrating
	}
	return &Machine{config: config, state: state, counts: NewCounts(config.MaxFailures, config.Window)}
}

// State gives the current state.
func (m *Machine) State() State {
	s := m.state
	s.Evidence = s.Evidence.clone()
	return s
}

// Configure puts an edited config in force. Failures that were counted under
// another max_failures or failure_window no longer count. Neither do those
// from before an edit that took the service off new or disabled its fallback.
func (m *Machine) Configure(config Config, now time.Time) Transition {
	if config.MaxFailures != m.config.MaxFailures || config.Window != m.config.Window {
		m.counts = NewCounts(config.MaxFailures, config.Window)
	}
	if config.Idle || !config.Enabled {
		m.counts.Reset()
	}
	m.config = config
	return m.step(Sample{}, now)
}

// Request counts the outcome of a request to new, whose request ID is id. A
// successful request costs nanoseconds.
func (m *Machine) Request(o Outcome, id []byte, now time.Time) Transition {
	if m.ignoresRequests() {
		return Transition{}
	}
	failure, counts := Judge(o, m.config.OnStatus)
	if !counts {
		return Transition{}
	}
	m.counts.Add(o, failure, id, now)
	if failure == NoFailure {
		return Transition{}
	}
	return m.step(Sample{}, now)
}

// ignoresRequests reports whether requests do not count now: after a trip they
// began before it, and without a fallback nothing is to decide.
func (m *Machine) ignoresRequests() bool {
	return m.state.Tripped() || m.config.Idle || !m.config.Enabled
}

// BrokenAnswer counts an answer of new that broke off after it had begun. The
// access log calls the same request a success, so Request counts it as one.
// Message is nginx's description.
func (m *Machine) BrokenAnswer(failure Failure, message string, now time.Time) Transition {
	if m.ignoresRequests() {
		return Transition{}
	}
	m.counts.AddBrokenAnswer(failure, message, now)
	return m.step(Sample{}, now)
}

// explainTime is how long after a trip an explanation belongs to this trip.
const explainTime = 2 * time.Second

// Explain adds why connections to new fail; requests only say that they do. It
// reports whether the evidence of a trip within the last two seconds became
// better. Before a trip it improves the evidence that is being collected.
func (m *Machine) Explain(failure Failure, message string, now time.Time) bool {
	m.counts.explain(failure, message)
	e := &m.state.Evidence
	recent := m.state.Tripped() && m.state.Cause == ByFailures && now.Sub(m.state.Since) < explainTime
	if !recent || e.LastFailure != FailureConnect {
		return false
	}
	e.LastFailure, e.LastError = failure, clip(message)
	return true
}

// Tick passes in the time and the latest results of probing. Deadlines are
// noticed here: call it about once a second, and when the result of probing
// changes.
func (m *Machine) Tick(probes Probes, now time.Time) Transition {
	m.probes = probes
	return m.step(Sample{}, now)
}

// Command carries out the command of an operator, whose name is by. Without a
// transition there was nothing to do: the service is tripped (or clear)
// already, or idle. A service that is cleared while its health check says
// Unhealthy trips again with the next Tick; only an edit of the config
// overrules the check.
func (m *Machine) Command(command Command, by string, now time.Time) Transition {
	return m.step(Sample{Command: command, By: by}, now)
}

// step completes the sample. Every new phase counts from zero. A service that
// is not probed all the time also forgets the probes made before it.
func (m *Machine) step(in Sample, now time.Time) Transition {
	in.Probes = m.probes
	if in.Failing = m.counts.Reached(m.config.Ratio, now); in.Failing {
		in.Evidence = m.counts.Evidence(now)
	}
	next, t := Step(m.config, m.state, in, now)
	m.state = next
	if t.From != t.To {
		m.counts.Reset()
	}
	if t.Happened() && !m.config.Probed {
		m.probes.New = Unknown
	}
	return t
}

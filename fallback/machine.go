package fallback

import "time"

// Machine is one service's Config, State and Counts, kept together. Its owner
// tells it of every request, of commands, and once a second of the time. Not
// safe for concurrent use.
type Machine struct {
	config Config
	state  State
	counts *Counts
	probes Probes
}

// New makes a machine that goes on from state: a stored one, or State{}. Tick
// it before traffic is directed by it, so that the config is heard.
func New(config Config, state State) *Machine {
	if state.Phase == "" {
		state.Phase = Normal
	}
	return &Machine{config: config, state: state, counts: NewCounts(config.MaxFailures, config.Window)}
}

// State is the present one.
func (m *Machine) State() State {
	s := m.state
	s.Evidence = s.Evidence.clone()
	return s
}

// Configure puts an edited config in force. A failure that was counted under
// another max_failures or failure_window no longer counts, nor does one from
// before an edit that took the service off new, or off the fallback.
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

// Request counts what a request to new came to; id is the request's. A
// request that succeeded costs nanoseconds.
func (m *Machine) Request(o Outcome, id []byte, now time.Time) Transition {
	if m.ignores() {
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

// ignores tells whether requests do not count now: they are late news from
// before the trip, or nobody asked.
func (m *Machine) ignores() bool {
	return m.state.Tripped() || m.config.Idle || !m.config.Enabled
}

// Broken counts an answer of new that broke off after it had begun. Request is
// told of it besides, as of one that succeeded: that is what the log calls it.
func (m *Machine) Broken(failure Failure, words string, now time.Time) Transition {
	if m.ignores() {
		return Transition{}
	}
	m.counts.AddBroken(failure, words, now)
	return m.step(Sample{}, now)
}

// explainable is for how long after a trip an explanation is taken as its.
const explainable = 2 * time.Second

// Explain tells why connections to new fail, where requests only say that they
// do. It tells whether the evidence of the trip just made is now better; the
// evidence of failures that have not tripped is improved silently.
func (m *Machine) Explain(failure Failure, words string, now time.Time) bool {
	m.counts.explain(failure, words)
	e := &m.state.Evidence
	young := m.state.Phase == FallenBack && m.state.Code == ByFailures && now.Sub(m.state.Since) < explainable
	if !young || e.LastFailure != FailureConnect {
		return false
	}
	e.LastFailure, e.LastError = failure, clip(words)
	return true
}

// Tick tells the time and what probes say now. Deadlines are noticed here:
// call it about once a second, and when the verdict of a probe changes.
func (m *Machine) Tick(probes Probes, now time.Time) Transition {
	m.probes = probes
	return m.step(Sample{}, now)
}

// Command carries out what an operator asks for. No transition means that
// there was nothing to do: tripped (or clear) already, or idle. A service
// that was cleared while its health check says Unhealthy trips again with the
// next Tick; to overrule the check, edit the config.
func (m *Machine) Command(command Command, by string, now time.Time) Transition {
	return m.step(Sample{Command: command, By: by}, now)
}

// step completes the sample. Every new phase counts from zero and knows of no
// probe made before it, but for a service that is probed all the time.
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

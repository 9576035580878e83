package fallback

import "time"

// Health is what probes say of a side, after their thresholds.
type Health string

// The verdicts. Unknown moves nothing.
const (
	Unknown   Health = ""
	Healthy   Health = "healthy"
	Unhealthy Health = "unhealthy"
)

// Probes is what is known by probing.
type Probes struct {
	New     Health
	Error   string // the last error of a probe of new
	OldDown bool   // nobody answers connections at old
}

// Command is what an operator asks for.
type Command string

// The commands.
const (
	NoCommand Command = ""
	Trip      Command = "trip"
	Clear     Command = "clear"
)

// Sample is what is known at one moment; it is complete, so that Step needs
// no memory but the State.
type Sample struct {
	Failing  bool     // max_failures and the ratio are reached
	Evidence Evidence // of the requests, whether Failing or not
	Probes   Probes
	Command  Command
	By       string // who commands
}

// evidence adds what is known besides the requests.
func (in Sample) evidence() Evidence {
	e := in.Evidence.clone()
	e.Probe, e.OldDown, e.By = clip(in.Probes.Error), in.Probes.OldDown, clip(in.By)
	return e
}

// cause tells why the service should not be on new, if there is a reason.
func (in Sample) cause(c Config) (Code, bool) {
	switch {
	case in.Failing:
		return ByFailures, true
	case c.Probed && in.Probes.New == Unhealthy:
		return ByProbes, true
	}
	return "", false
}

// moment is what a rule judges.
type moment struct {
	config Config
	state  State
	sample Sample
	now    time.Time
}

// rules are the table of the package's documentation, row by row. A rule that
// speaks gives the next state; its Code is "" when nothing worth telling
// happened.
var rules = []func(moment) (next State, speaks bool){
	moment.userEdited,
	moment.operatorTrips,
	moment.operatorClears,
	moment.stays,
	moment.heldBack,
	moment.fails,
	moment.calms,
	moment.startsRecovery,
	moment.recovers,
}

// Step gives the state that follows s when the sample is what is known now.
// It depends on nothing else, and may be called as often as one likes: a
// sample that was judged before changes nothing more.
func Step(c Config, s State, in Sample, now time.Time) (State, Transition) {
	now = now.UTC() // without the monotonic part, which a restart would lose
	m := moment{c, s.within(c, now), in, now}
	for _, rule := range rules {
		next, speaks := rule(m)
		if !speaks {
			continue
		}
		if next.Code == "" {
			next.Code, next.Evidence = m.state.Code, m.state.Evidence
			return next, Transition{}
		}
		return next, Transition{m.state.Phase, next.Phase, next.Code, now, next.Until, next.Evidence.clone()}
	}
	m.state.Held = false
	return m.state, Transition{}
}

// within lets no deadline be further away than its phase lasts in all. That
// heals a clock that was set back, and lets a shortened recovery_time act on
// a hold-off that runs.
func (s State) within(c Config, now time.Time) State {
	if s.Phase == "" {
		s.Phase = Normal
	}
	length := c.calm(s.Doublings)
	switch s.Phase {
	case FallenBack:
		length = c.HoldOff(s.Doublings)
	case Recovering:
		length = c.Window
	}
	if latest := now.Add(length); s.Until.After(latest) {
		s.Until = latest
	}
	if s.Since.After(now) {
		s.Since = now
	}
	return s
}

func (m moment) userEdited() (State, bool) {
	off := m.config.Idle || !m.config.Enabled && !m.state.Manual
	switch {
	case !off:
		return State{}, false
	case m.state.Phase != Normal:
		return m.fresh(UserEdited), true
	case m.sample.Command == Trip && !m.config.Idle:
		return State{}, false // an operator may trip what the machine may not
	}
	return State{Phase: Normal, Since: m.state.Since}, true
}

func (m moment) operatorTrips() (State, bool) {
	if m.sample.Command != Trip || m.state.Manual {
		return State{}, false
	}
	next := m.fresh(ByOperator)
	next.Phase, next.Manual = FallenBack, true
	return next, true
}

func (m moment) operatorClears() (State, bool) {
	if m.sample.Command != Clear || m.state.Phase == Normal {
		return State{}, false
	}
	return m.fresh(OperatorCleared), true
}

// stays leaves to the operator what the operator tripped.
func (m moment) stays() (State, bool) {
	next := m.state
	next.Code = ""
	return next, m.state.Manual
}

func (m moment) heldBack() (State, bool) {
	_, failing := m.sample.cause(m.config)
	if !failing || !m.sample.Probes.OldDown || m.state.Phase == FallenBack {
		return State{}, false
	}
	next := m.state
	next.Code = ""
	if !m.state.Held {
		next.Held, next.Code, next.Evidence = true, HeldBack, m.sample.evidence()
	}
	return next, true
}

// fails trips. It is the end of a recovery that had not proved itself when it
// comes in Recovering, or in Normal before that was calm.
func (m moment) fails() (State, bool) {
	code, failing := m.sample.cause(m.config)
	if !failing || m.state.Phase == FallenBack {
		return State{}, false
	}
	next := m.fresh(code)
	next.Phase = FallenBack
	if m.state.Phase == Recovering || m.now.Before(m.state.Until) {
		next.Doublings = min(m.state.Doublings+1, mostDoublings)
	}
	next.Until = m.now.Add(m.config.HoldOff(next.Doublings))
	return next, true
}

func (m moment) calms() (State, bool) {
	next := m.state
	next.Code, next.Held, next.Doublings, next.Until = "", false, 0, time.Time{}
	return next, m.state.Phase == Normal && m.due()
}

func (m moment) startsRecovery() (State, bool) {
	if !m.state.WantsProbes(m.now) || m.sample.Probes.New != Healthy {
		return State{}, false
	}
	next := m.fresh(RecoveryStarted)
	next.Phase, next.Doublings = Recovering, m.state.Doublings
	next.Until = m.now.Add(m.config.Window)
	return next, true
}

func (m moment) recovers() (State, bool) {
	if m.state.Phase != Recovering || !m.due() {
		return State{}, false
	}
	next := m.fresh(Recovered)
	next.Doublings = m.state.Doublings
	next.Until = m.now.Add(m.config.calm(next.Doublings))
	return next, true
}

// fresh is Normal from now on, with nothing remembered but why.
func (m moment) fresh(code Code) State {
	return State{Phase: Normal, Since: m.now, Code: code, Evidence: m.sample.evidence()}
}

func (m moment) due() bool {
	return !m.state.Until.IsZero() && !m.now.Before(m.state.Until)
}

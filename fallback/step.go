package fallback

import (
	"time"

	"github.com/migration-proxy/migration-proxy/internal/status"
)

// Health is the result of probing a side, after the thresholds of its health
// check.
type Health string

// The results. Unknown changes nothing.
const (
	Unknown   Health = ""
	Healthy   Health = "healthy"
	Unhealthy Health = "unhealthy"
)

// Probes are the results of probing both sides of a service.
type Probes struct {
	New     Health
	Error   string // of the last probe of new; "" after a success
	OldDown bool   // old does not accept connections
}

// Command is an operator's command.
type Command string

// The commands.
const (
	NoCommand Command = ""
	Trip      Command = "trip"
	Clear     Command = "clear"
)

// Sample is all that is known about a service at one moment. Step needs
// nothing else but the State.
type Sample struct {
	Failing  bool     // max_failures and the ratio are reached
	Evidence Evidence // about the requests
	Probes   Probes
	Command  Command
	By       string // name of the operator who gives the Command
}

// evidence adds the rest of the sample to the evidence about the requests.
func (in Sample) evidence() Evidence {
	e := in.Evidence.clone()
	e.Probe, e.OldDown, e.By = clip(in.Probes.Error), in.Probes.OldDown, clip(in.By)
	return e
}

// failing reports whether the service must leave new, and why.
func (in Sample) failing(c Config) (Cause, bool) {
	switch {
	case in.Failing:
		return ByFailures, true
	case c.Probed && in.Probes.New == Unhealthy:
		return ByProbes, true
	}
	return "", false
}

// stepInput is what a rule judges.
type stepInput struct {
	config Config
	state  State
	sample Sample
	now    time.Time
}

// rules are the rows of the table in the package's documentation, in its
// order. A rule that applies gives the next state. The Cause of that state is
// "" when the change is not worth a Transition.
var rules = []func(stepInput) (next State, applies bool){
	stepInput.userEdited,
	stepInput.operatorTrips,
	stepInput.operatorClears,
	stepInput.holdsBack,
	stepInput.trips,
	stepInput.calmsDown,
	stepInput.startsRecovery,
	stepInput.recovers,
}

// Step gives the state that follows s when the sample is known at the time
// now. It depends on nothing else and may be called at any time: the same
// sample a second time changes nothing more.
func Step(c Config, s State, in Sample, now time.Time) (State, Transition) {
	now = now.UTC() // without the monotonic part, which a restart would lose
	i := stepInput{c, s.clampTimes(c, now), in, now}
	for _, rule := range rules {
		next, applies := rule(i)
		if !applies {
			continue
		}
		if next.Cause == "" {
			next.Cause, next.Evidence = i.state.Cause, i.state.Evidence
			return next, Transition{}
		}
		return next, Transition{i.state.Phase, next.Phase, next.Cause, now, next.Until, next.Evidence.clone()}
	}
	i.state.Held = false
	return i.state, Transition{}
}

// clampTimes lets no deadline be further away than its phase lasts in all.
// This repairs the deadlines after a clock was set back, and lets a shorter
// recovery_time act on a hold-off that has begun.
func (s State) clampTimes(c Config, now time.Time) State {
	if s.Phase == "" {
		s.Phase = status.Migrating
	}
	length := c.calmPeriod(s.Doublings)
	switch s.Phase {
	case status.FallenBack:
		length = c.HoldOff(s.Doublings)
	case status.Recovering:
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

// userEdited resets a service whose config leaves nothing to decide.
func (i stepInput) userEdited() (State, bool) {
	off := i.config.Idle || !i.config.Enabled && !i.state.Manual
	switch {
	case !off:
		return State{}, false
	case i.state.Phase != status.Migrating:
		return i.reset(UserEdited), true
	case i.sample.Command == Trip && !i.config.Idle:
		return State{}, false // an operator may trip a service whose fallback is off
	}
	return State{Phase: status.Migrating, Since: i.state.Since}, true
}

func (i stepInput) operatorTrips() (State, bool) {
	if i.sample.Command != Trip || i.state.Manual {
		return State{}, false
	}
	next := i.reset(ByOperator)
	next.Phase, next.Manual = status.FallenBack, true
	return next, true
}

func (i stepInput) operatorClears() (State, bool) {
	if i.sample.Command != Clear || i.state.Phase == status.Migrating {
		return State{}, false
	}
	return i.reset(OperatorCleared), true
}

func (i stepInput) holdsBack() (State, bool) {
	_, failing := i.sample.failing(i.config)
	if !failing || !i.sample.Probes.OldDown || i.state.Tripped() {
		return State{}, false
	}
	next := i.state
	next.Cause = ""
	if !i.state.Held {
		next.Held, next.Cause, next.Evidence = true, HeldBack, i.sample.evidence()
	}
	return next, true
}

// trips doubles the hold-off when the last recovery had not proved itself: in
// Recovering, and in Migrating before the end of the calm period.
func (i stepInput) trips() (State, bool) {
	cause, failing := i.sample.failing(i.config)
	if !failing || i.state.Tripped() {
		return State{}, false
	}
	next := i.reset(cause)
	next.Phase = status.FallenBack
	if i.state.Phase == status.Recovering || i.now.Before(i.state.Until) {
		next.Doublings = min(i.state.Doublings+1, maxDoublings)
	}
	next.Until = i.now.Add(i.config.HoldOff(next.Doublings))
	return next, true
}

// calmsDown forgets the doublings at the end of the calm period.
func (i stepInput) calmsDown() (State, bool) {
	next := i.state
	next.Cause, next.Held, next.Doublings, next.Until = "", false, 0, time.Time{}
	return next, i.state.Phase == status.Migrating && i.untilReached()
}

func (i stepInput) startsRecovery() (State, bool) {
	if !i.state.WantsProbes(i.now) || i.sample.Probes.New != Healthy {
		return State{}, false
	}
	next := i.reset(RecoveryStarted)
	next.Phase, next.Doublings = status.Recovering, i.state.Doublings
	next.Until = i.now.Add(i.config.Window)
	return next, true
}

func (i stepInput) recovers() (State, bool) {
	if i.state.Phase != status.Recovering || !i.untilReached() {
		return State{}, false
	}
	next := i.reset(Recovered)
	next.Doublings = i.state.Doublings
	next.Until = i.now.Add(i.config.calmPeriod(next.Doublings))
	return next, true
}

// reset is Migrating from now on, without a history.
func (i stepInput) reset(cause Cause) State {
	return State{Phase: status.Migrating, Since: i.now, Cause: cause, Evidence: i.sample.evidence()}
}

func (i stepInput) untilReached() bool {
	return !i.state.Until.IsZero() && !i.now.Before(i.state.Until)
}

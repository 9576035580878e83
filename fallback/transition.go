package fallback

import (
	"fmt"
	"strings"
	"time"
)

// Code is the constant name of a reason.
type Code string

// The reasons; see the package's table.
const (
	ByFailures      Code = "failures"
	ByProbes        Code = "unhealthy"
	ByOperator      Code = "operator_trip"
	OperatorCleared Code = "operator_clear"
	UserEdited      Code = "user_edit"
	RecoveryStarted Code = "recovery_started"
	Recovered       Code = "recovered"
	HeldBack        Code = "held_old_down"
)

// Transition is one change of a State. Its zero value says that nothing
// changed. From and To are the same when a trip is held back, and when an
// operator takes over one that the machine made.
type Transition struct {
	From, To Phase
	Code     Code
	At       time.Time
	Until    time.Time // see State.Until; zero when To has no end of its own
	Evidence Evidence
}

// Happened tells a transition from none.
func (t Transition) Happened() bool { return t.Code != "" }

// Reason is the sentence for logs, status and people.
func (t Transition) Reason() string {
	if !t.Happened() {
		return ""
	}
	text := sentence(t.Code, t.Evidence)
	if t.To == FallenBack && !t.Until.IsZero() {
		text += "; held off for " + t.Until.Sub(t.At).Round(time.Second).String()
	}
	return text
}

// Reason is the sentence of the last transition, also after a restart.
func (s State) Reason() string { return sentence(s.Code, s.Evidence) }

func sentence(code Code, e Evidence) string {
	switch code {
	case ByFailures:
		return e.failures()
	case ByProbes:
		return "probes of new fail: " + e.Probe
	case ByOperator:
		return "tripped by " + e.operator()
	case OperatorCleared:
		return "cleared by " + e.operator()
	case UserEdited:
		return "the config took the service out of the fallback's hands"
	case RecoveryStarted:
		return "probes of new pass, traffic is tried"
	case Recovered:
		return "new has served for a whole failure_window"
	case HeldBack:
		return "not tripped, because old is down too; " + e.cause()
	}
	return ""
}

func (e Evidence) cause() string {
	if e.Failures > 0 {
		return e.failures()
	}
	return "probes of new fail: " + e.Probe
}

// failures reads "5 of 132 requests to new failed within 1m0s, last: status
// 503, requests a, b", or "... last: tls (certificate verify error ...)".
func (e Evidence) failures() string {
	text := fmt.Sprintf("%d of %d requests to new failed within %s, last: %s", e.Failures, e.Requests, e.Window, e.LastFailure)
	if e.LastStatus != 0 {
		text += fmt.Sprintf(" %d", e.LastStatus)
	}
	if e.LastError != "" {
		text += " (" + e.LastError + ")"
	}
	if len(e.RequestIDs) > 0 {
		text += ", requests " + strings.Join(e.RequestIDs, ", ")
	}
	return text
}

func (e Evidence) operator() string {
	if e.By == "" {
		return "an operator"
	}
	return e.By
}

package fallback

import (
	"fmt"
	"strings"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/status"
)

// Cause is the constant name of the reason for a transition. It is the label
// "reason" of the metric fallback_transitions_total.
type Cause string

// The causes; see the table in the package's documentation.
const (
	ByFailures      Cause = "failures"
	ByProbes        Cause = "unhealthy"
	ByOperator      Cause = "operator_trip"
	OperatorCleared Cause = "operator_clear"
	UserEdited      Cause = "user_edit"
	RecoveryStarted Cause = "recovery_started"
	Recovered       Cause = "recovered"
	HeldBack        Cause = "held_old_down"
)

// Transition is one change of a State. The zero value means that nothing
// changed. From and To are equal when a trip is held back, and when an
// operator trips a service that has fallen back already.
type Transition struct {
	From, To status.Phase
	Cause    Cause
	At       time.Time
	Until    time.Time // see State.Until; zero when To has no end of its own
	Evidence Evidence
}

// Happened reports whether there was a transition.
func (t Transition) Happened() bool { return t.Cause != "" }

// Reason is the sentence for logs, status and people; "" without a transition.
func (t Transition) Reason() string {
	if !t.Happened() {
		return ""
	}
	text := sentence(t.Cause, t.Evidence)
	if t.To == status.FallenBack && !t.Until.IsZero() {
		text += "; held off for " + t.Until.Sub(t.At).Round(time.Second).String()
	}
	return text
}

// Reason is the sentence about the last transition. It survives a restart.
func (s State) Reason() string { return sentence(s.Cause, s.Evidence) }

func sentence(cause Cause, e Evidence) string {
	switch cause {
	case ByFailures:
		return e.failures()
	case ByProbes:
		return e.probes()
	case ByOperator:
		return "tripped by " + e.operator()
	case OperatorCleared:
		return "cleared by " + e.operator()
	case UserEdited:
		return "the config disabled the fallback, or no traffic may go to new"
	case RecoveryStarted:
		return "probes of new pass, traffic is tried"
	case Recovered:
		return "new has served for a whole failure_window"
	case HeldBack:
		return "not tripped, because old is down too; " + e.trouble()
	}
	return ""
}

// trouble is the reason for a trip that was not made.
func (e Evidence) trouble() string {
	if e.Failures > 0 {
		return e.failures()
	}
	return e.probes()
}

func (e Evidence) probes() string { return "probes of new fail: " + e.Probe }

// failures is for example "5 of 132 requests to new failed within 1m0s, last:
// status 503, requests a, b" or "... last: tls (certificate verify error ...)".
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

package fallback

import (
	"slices"
	"time"
)

// Config is what a service's user wants.
type Config struct {
	// Idle: no request may go to new, because the service is disabled, or at
	// 0 % without a rule for new.
	Idle         bool
	Enabled      bool          // fallback.enabled
	MaxFailures  int           // at least 1
	Window       time.Duration // how long a failure counts; at least 1 ms
	RecoveryTime time.Duration // the first hold-off
	Ratio        float64       // 0..1; failures/requests to new must reach it too
	OnStatus     []int         // statuses of new that are failures
	// Probed: the service has a health check, so that probes alone may trip.
	Probed bool
}

// most doublings of the hold-off: eight times recovery_time.
const mostDoublings = 3

// longest keeps a hold-off from overflowing, eight times over.
const longest = 365 * 24 * time.Hour

// HoldOff is how long a trip lasts at least after this many failed recoveries.
func (c Config) HoldOff(doublings int) time.Duration {
	return min(c.RecoveryTime, longest) << min(max(doublings, 0), mostDoublings)
}

// calm is how long Normal must last until the doublings are forgotten.
func (c Config) calm(doublings int) time.Duration {
	return max(c.Window, c.HoldOff(doublings))
}

// Phase is what a State is in.
type Phase string

// The phases; see the package's table.
const (
	Normal     Phase = "Normal"
	FallenBack Phase = "FallenBack"
	Recovering Phase = "Recovering"
)

// State is all that must survive a restart. The zero value is Normal with
// nothing remembered. Times are wall clock, without a monotonic part.
type State struct {
	Phase Phase     `json:"phase"`
	Since time.Time `json:"since,omitzero"`
	// Until is the end of the hold-off (FallenBack), of the trial
	// (Recovering) or of the calm period (Normal after a recovery). Zero: the
	// phase has no end of its own.
	Until     time.Time `json:"until,omitzero"`
	Doublings int       `json:"doublings,omitempty"` // of the hold-off, 0 to 3
	Manual    bool      `json:"manual,omitempty"`    // an operator tripped
	Held      bool      `json:"held,omitempty"`      // a trip is held back, as old is down
	// Code and Evidence are the last transition's.
	Code     Code     `json:"code,omitempty"`
	Evidence Evidence `json:"evidence,omitzero"`
}

// Tripped tells whether all traffic must go to old.
func (s State) Tripped() bool { return s.Phase == FallenBack }

// WantsProbes tells whether the way back waits for nothing but probes of new.
// A service without a health check is probed only while this is true.
func (s State) WantsProbes(now time.Time) bool {
	return s.Phase == FallenBack && !s.Manual && !now.Before(s.Until)
}

// MostIDs is how many request ids an Evidence holds.
const MostIDs = 5

// Evidence is why a transition was made. Requests and Failures are new's,
// within Window.
type Evidence struct {
	Failures    int           `json:"failures,omitempty"`
	Requests    int           `json:"requests,omitempty"`
	Window      time.Duration `json:"window_ns,omitempty"`
	LastFailure Failure       `json:"last_failure,omitempty"`
	LastStatus  int           `json:"last_status,omitempty"`
	LastError   string        `json:"last_error,omitempty"`  // of the last failure, where more than its kind is known
	RequestIDs  []string      `json:"request_ids,omitempty"` // of the last failures, newest last
	Probe       string        `json:"probe,omitempty"`       // what the last probe of new said
	OldDown     bool          `json:"old_down,omitempty"`
	By          string        `json:"by,omitempty"` // the operator
}

func (e Evidence) clone() Evidence {
	e.RequestIDs = slices.Clone(e.RequestIDs)
	return e
}

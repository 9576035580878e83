package fallback

import (
	"slices"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/status"
)

// Config is what the migration config says about the fallback of a service.
type Config struct {
	// Idle is true when no request may go to new: the service is disabled, or
	// at 0 % without a rule for new.
	Idle         bool
	Enabled      bool          // fallback.enabled
	MaxFailures  int           // at least 1
	Window       time.Duration // how long a failure counts; at least 1 ms
	RecoveryTime time.Duration // the first hold-off
	Ratio        float64       // 0 to 1: failures/requests to new must reach it too
	OnStatus     []int         // statuses of new that are failures
	// Probed is true when the service has a health check, so that probes alone
	// may trip it.
	Probed bool
}

// maxDoublings limits the hold-off to eight times recovery_time.
const maxDoublings = 3

// maxRecoveryTime keeps eight times recovery_time from overflowing.
const maxRecoveryTime = 365 * 24 * time.Hour

// HoldOff is the least time that a trip lasts after this many failed
// recoveries.
func (c Config) HoldOff(doublings int) time.Duration {
	return min(c.RecoveryTime, maxRecoveryTime) << min(max(doublings, 0), maxDoublings)
}

// calmPeriod is how long Migrating must last until the doublings are
// forgotten.
func (c Config) calmPeriod(doublings int) time.Duration {
	return max(c.Window, c.HoldOff(doublings))
}

// State is all that must survive a restart. The zero value is Migrating
// without a history. Times are wall clock, without a monotonic part.
type State struct {
	// Phase is Migrating, FallenBack or Recovering; "" means Migrating.
	Phase status.Phase `json:"phase"`
	Since time.Time    `json:"since,omitzero"`
	// Until is the end of the hold-off (FallenBack), of the trial (Recovering)
	// or of the calm period (Migrating after a recovery). Zero means that the
	// phase has no end of its own.
	Until     time.Time `json:"until,omitzero"`
	Doublings int       `json:"doublings,omitempty"` // of the hold-off, 0 to 3
	Manual    bool      `json:"manual,omitempty"`    // an operator tripped the service
	Held      bool      `json:"held,omitempty"`      // a trip is held back because old is down
	// Cause and Evidence belong to the last transition.
	Cause    Cause    `json:"code,omitempty"`
	Evidence Evidence `json:"evidence,omitzero"`
}

// Tripped reports whether all traffic must go to old.
func (s State) Tripped() bool { return s.Phase == status.FallenBack }

// WantsProbes reports whether only probes of new are missing for a recovery. A
// service without a health check is probed only while this is true.
func (s State) WantsProbes(now time.Time) bool {
	return s.Tripped() && !s.Manual && !now.Before(s.Until)
}

// MaxRequestIDs is how many request IDs an Evidence holds.
const MaxRequestIDs = 5

// Evidence is the data on which a transition was decided. Requests and
// Failures are those of new within Window.
type Evidence struct {
	Failures    int           `json:"failures,omitempty"`
	Requests    int           `json:"requests,omitempty"`
	Window      time.Duration `json:"window_ns,omitempty"`
	LastFailure Failure       `json:"last_failure,omitempty"`
	LastStatus  int           `json:"last_status,omitempty"`
	LastError   string        `json:"last_error,omitempty"`  // nginx's message about the last failure, if there is one
	RequestIDs  []string      `json:"request_ids,omitempty"` // of the last failures, newest last
	Probe       string        `json:"probe,omitempty"`       // error of the last probe of new
	OldDown     bool          `json:"old_down,omitempty"`
	By          string        `json:"by,omitempty"` // name of the operator
}

func (e Evidence) clone() Evidence {
	e.RequestIDs = slices.Clone(e.RequestIDs)
	return e
}

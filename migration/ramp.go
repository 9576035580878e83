package migration

import (
	"slices"
	"time"
)

// Ramp raises the share of a service step by step while new is as good as old. The
// service's Share is its ceiling: what the service gets is the smaller one of Share and
// of the ramp's position, which package ramp decides.
type Ramp struct {
	Steps      []RampStep // rising; at least one
	Advise     bool       // say what the ramp would do, and move nothing
	Judge      RampJudge
	NoData     time.Duration // a step ends after so long with requests to new and no failure; 0: it waits for enough requests
	Only       *Window       `json:",omitempty"` // when a step up is allowed; nil: always
	NotAheadOf []Name        `json:",omitempty"` // never a higher share than these services have
	Checks     []RampCheck   `json:",omitempty"` // addresses that must agree to a step up
	Parity     Share         `json:",omitempty"` // a step up waits until both sides answer alike on so much of the compared requests; 0: it does not
	Back       RampBack
}

// RampStep is one position of a ramp.
type RampStep struct {
	To   Share
	Hold time.Duration // how long To is served at least
	Ask  bool          // a person must approve before the share rises to To
}

// RampJudge has the limits of the comparison of new with old.
type RampJudge struct {
	Failures    OddsLimits
	Slow        OddsLimits
	SlowAllow   time.Duration // how much slower than old's 99th percentile an answer of new may be
	MaxExtra    float64       // 0 to 1: new may have so much more failures than old, whatever the odds are
	MinRequests int           // requests to new in a step before it can be good
}

// OddsLimits compares the odds that something happens at new with the odds at old, at
// the same time. Up to Tolerate times is not bad. Good excludes Exclude times.
type OddsLimits struct{ Tolerate, Exclude float64 }

// RampCheck is an address that must answer with a status of 200 to 299 before the
// share rises.
type RampCheck struct {
	Name  string
	URL   string
	Every time.Duration
}

// RampBack defines how a share falls when new is bad.
type RampBack struct {
	ToZero bool          // to 0; otherwise to the step before
	By     Share         // a larger fall is divided into portions of this size
	Every  time.Duration // time between two portions
}

// whole tells whether all positions of the ramp are whole numbers of percents.
func (r *Ramp) whole() bool {
	return r == nil || r.Back.By.Whole() && !slices.ContainsFunc(r.Steps, func(step RampStep) bool { return !step.To.Whole() })
}

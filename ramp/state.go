package ramp

import (
	"maps"
	"time"

	"github.com/migration-proxy/migration-proxy/migration"
)

// Phase is what a ramp does.
type Phase string

// The phases.
const (
	Off       Phase = "off"       // no ramp, disabled, or percentage 0
	Waiting   Phase = "waiting"   // the position is served and may not rise, see Reason
	Measuring Phase = "measuring" // new is compared with old
	Rising    Phase = "rising"    // a higher position is written, and not served everywhere yet
	Returning Phase = "returning" // the position falls because new is bad
	Cooling   Phase = "cooling"   // it waits after a fall
	Done      Phase = "done"      // the last step is reached
)

// Reason is why a ramp waits.
type Reason string

// The reasons. Detail has the rest of the sentence.
const (
	ReasonCeiling    Reason = "ceiling"          // percentage is reached
	ReasonWindow     Reason = "window"           // ramp.only
	ReasonFreeze     Reason = "freeze"           // global.freeze
	ReasonAsk        Reason = "ask"              // a person must approve
	ReasonDependency Reason = "dependency"       // a service of not_ahead_of
	ReasonCheck      Reason = "check"            // an address of check
	ReasonParity     Reason = "answers differ"   // ramp.parity
	ReasonUnobserved Reason = "share not served" // what is served differs from the share
	ReasonHeld       Reason = "held"             // by a person, or after new was bad three times
	ReasonNotInSync  Reason = "not in sync"      // a replica does not serve the position
	ReasonFallenBack Reason = "fallen back"      // the fallback of the service
	ReasonOldIll     Reason = "old is ill"       // old fails more than a fifth
	ReasonReplica    Reason = "one replica"      // one replica has nearly all failures
	ReasonAdvise     Reason = "advise"           // ramp.advise: it moves nothing
)

// needsPerson tells whether only a person ends the reason.
func (r Reason) needsPerson() bool { return r == ReasonAsk || r == ReasonHeld }

// Hold is a ramp that does not rise until a person resumes it.
type Hold struct {
	By     string `json:"by,omitempty"` // "": the ramp itself
	Reason string `json:"reason,omitempty"`
}

// State is how far the ramp of one service has come. The zero State is a ramp that
// begins.
type State struct {
	Phase     Phase           `json:"phase"`
	Reason    Reason          `json:"reason,omitempty"`
	Detail    string          `json:"detail,omitempty"`
	Position  migration.Share `json:"position"`
	Since     time.Time       `json:"since"`      // of phase and reason
	StepSince time.Time       `json:"step_since"` // the position is served since then

	Settling bool            `json:"settling,omitempty"` // not every replica has served the position
	Target   migration.Share `json:"target,omitempty"`   // where Returning ends
	BadAt    migration.Share `json:"bad_at,omitempty"`   // the position that new was bad at
	Until    time.Time       `json:"until"`              // the next portion, or the end of Cooling

	Bads       map[migration.Share]int `json:"bads,omitempty"` // how often new was bad at a position
	Held       *Hold                   `json:"held,omitempty"`
	Approved   migration.Share         `json:"approved,omitempty"` // a person approves up to here
	ApprovedBy string                  `json:"approved_by,omitempty"`
	Tripped    bool                    `json:"tripped,omitempty"`     // the service fell back at this position
	BadReplica string                  `json:"bad_replica,omitempty"` // it had nearly all failures
	Command    string                  `json:"command,omitempty"`     // ID of the last command
	Refused    string                  `json:"refused,omitempty"`     // why the last command did nothing
	Structure  string                  `json:"structure,omitempty"`
	Evidence   Evidence                `json:"evidence"`
}

func (s State) clone() State {
	s.Bads = maps.Clone(s.Bads)
	if s.Held != nil {
		held := *s.Held
		s.Held = &held
	}
	s.Evidence = s.Evidence.clone()
	return s
}

// Command is what a person wants.
type Command struct {
	ID       string // the same command has the same ID
	Verb     Verb
	Position migration.Share // where the ramp was when the person typed
	By       string
	Reason   string
}

// Verb is what a command does.
type Verb string

// The verbs.
const (
	Approve Verb = "approve" // the next step may begin when everything else allows it
	HoldOn  Verb = "hold"    // no step up until resume; a step down is still possible
	Resume  Verb = "resume"  // ends hold, and what new did wrong before is forgiven
	Skip    Verb = "skip"    // the next step now, whatever was measured
	Back    Verb = "back"    // the step before now, and hold
)

// Gate is a reason against a step up that the caller knows.
type Gate struct {
	Reason Reason
	Detail string
}

// Sample is what the caller knows about the service at one moment.
type Sample struct {
	Slot       Slot
	Unserved   string                             // a replica that does not serve the position, and why; "": all do
	FallenBack bool                               // the service fell back
	Limits     map[migration.Name]migration.Share // shares in force of the services of not_ahead_of
	Gates      []Gate
	Command    *Command // nil: none; it may come again
}

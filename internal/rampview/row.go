package rampview

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/ramp"
)

// Row is where the ramp of one service is. Its JSON is what ramp -o json prints: field
// names are an interface.
type Row struct {
	Service     string      `json:"service"`
	Position    float64     `json:"position_percent"`
	Ceiling     float64     `json:"ceiling_percent"` // the percentage; 0 while the service is disabled
	Next        float64     `json:"next_percent"`    // the next step; the position when there is none
	Phase       ramp.Phase  `json:"phase"`
	Reason      ramp.Reason `json:"reason,omitempty"`
	Why         string      `json:"why"` // in words
	Since       time.Time   `json:"since,omitzero"`
	NeedsPerson bool        `json:"needs_person"`
	Evidence    *Evidence   `json:"evidence,omitempty"` // nil while nothing is measured

	Summary ramp.Summary `json:"-"`
	State   ramp.State   `json:"-"`
	Config  ramp.Config  `json:"-"`
}

// Evidence is what was measured in the present step, and what it needs.
type Evidence struct {
	Old         ramp.Counts  `json:"old"`
	New         ramp.Counts  `json:"new"`
	Wanted      int          `json:"wanted_requests"` // to new
	HeldSeconds float64      `json:"held_seconds"`
	HoldSeconds float64      `json:"hold_seconds"` // the time that the step takes at least
	Failures    ramp.Odds    `json:"failures"`     // how many times old's
	Slow        ramp.Odds    `json:"slow"`
	Verdict     ramp.Verdict `json:"verdict"`
}

// Rows are the services of the table with a ramp. Data has the keys of ConfigMap
// migration-ramp.
func Rows(table *migration.Table, data map[string]string, now time.Time) ([]Row, error) {
	states, err := ramp.DecodeStates[migration.Name](data[status.MachineKey])
	if err != nil {
		return nil, err
	}
	rows := []Row{}
	for _, service := range table.Services() {
		if service.Ramp != nil {
			rows = append(rows, newRow(service.Name, ramp.ConfigOf(table, &service), states[service.Name], now))
		}
	}
	return rows, nil
}

func newRow(name migration.Name, config ramp.Config, state ramp.State, now time.Time) Row {
	if config.Ceiling == 0 {
		state = ramp.State{Phase: ramp.Off, Since: state.Since, Command: state.Command, Refused: state.Refused}
	}
	d := ramp.Describe(config, state, now)
	row := Row{
		Service: string(name), Position: state.Position.Percent(), Ceiling: config.Ceiling.Percent(),
		Next: config.Next(state.Position).Percent(), Phase: state.Phase, Reason: state.Reason, Why: d.Why, Since: state.Since,
		NeedsPerson: d.NeedsPerson, Summary: d.Summary, State: state, Config: config,
	}
	switch {
	case state.Phase == "":
		row.Phase, row.Why = "starting", "the watcher has not seen the ramp yet"
	case state.Phase == ramp.Off:
		row.Why = "migration.enabled is false, or percentage is 0"
	case state.Position > 0:
		s := d.Summary
		row.Evidence = &Evidence{
			Old: s.Old, New: s.New, Wanted: s.Wanted, HeldSeconds: s.Held.Seconds(), HoldSeconds: s.Hold.Seconds(),
			Failures: s.Failures, Slow: s.Slow, Verdict: s.Verdict,
		}
	}
	return row
}

// Where is "5% (of 100%)".
func (r Row) Where() string {
	if r.Position == r.Ceiling {
		return fmt.Sprintf("%g%%", r.Position)
	}
	return fmt.Sprintf("%g%% (of %g%%)", r.Position, r.Ceiling)
}

// What is the phase with its reason: "waiting (ask)".
func (r Row) What() string {
	if r.Reason == "" {
		return string(r.Phase)
	}
	return fmt.Sprintf("%s (%s)", r.Phase, r.Reason)
}

// String is one line: "shop at 5% (of 100%), waiting: held: by alice: sale".
func (r Row) String() string {
	return fmt.Sprintf("%s at %s, %s: %s", r.Service, r.Where(), r.Phase, r.Why)
}

// NextStep is the next step, and what is before it.
func (r Row) NextStep() string {
	switch r.Phase {
	case ramp.Off, ramp.Done, ramp.Returning:
		return "-"
	case ramp.Cooling:
		return "not before " + r.State.Until.Format("15:04:05Z07:00")
	case ramp.Waiting:
		return cmp.Or(r.State.Detail, string(r.Reason))
	case ramp.Measuring:
		eta := r.Summary.ETA()
		if r.Position == 0 {
			eta = 0
		}
		switch {
		case eta < 0:
			return fmt.Sprintf("%g%%, new gets no requests", r.Next)
		case eta >= time.Minute:
			return fmt.Sprintf("%g%%, in %s or later", r.Next, strings.TrimSuffix(eta.Round(time.Minute).String(), "0s"))
		case eta > 0:
			return fmt.Sprintf("%g%%, in less than a minute or later", r.Next)
		}
	}
	return fmt.Sprintf("%g%%", r.Next)
}

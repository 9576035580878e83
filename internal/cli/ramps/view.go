package ramps

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
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

	summary ramp.Summary
	state   ramp.State
	config  ramp.Config
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
		NeedsPerson: d.NeedsPerson, summary: d.Summary, state: state, config: config,
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

// where is "5% (of 100%)".
func (r Row) where() string {
	if r.Position == r.Ceiling {
		return fmt.Sprintf("%g%%", r.Position)
	}
	return fmt.Sprintf("%g%% (of %g%%)", r.Position, r.Ceiling)
}

// what is the phase with its reason: "waiting (ask)".
func (r Row) what() string {
	if r.Reason == "" {
		return string(r.Phase)
	}
	return fmt.Sprintf("%s (%s)", r.Phase, r.Reason)
}

// String is one line: "shop at 5% (of 100%), waiting: held: by alice: sale".
func (r Row) String() string {
	return fmt.Sprintf("%s at %s, %s: %s", r.Service, r.where(), r.Phase, r.Why)
}

// next is the next step, and what is before it.
func (r Row) next() string {
	switch r.Phase {
	case ramp.Off, ramp.Done, ramp.Returning:
		return "-"
	case ramp.Cooling:
		return "not before " + r.state.Until.Format("15:04:05Z07:00")
	case ramp.Waiting:
		return cmp.Or(r.state.Detail, string(r.Reason))
	case ramp.Measuring:
		eta := r.summary.ETA()
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

// cells are a line of the table.
func (r Row) cells() [7]string {
	cells := [7]string{r.Service, r.where(), r.what(), "-", "-", "-", r.next()}
	if r.Evidence != nil {
		cells[3] = r.summary.Progress()
		cells[4], cells[5] = odds(r.Evidence.Failures), odds(r.Evidence.Slow)
	}
	return cells
}

func odds(o ramp.Odds) string {
	if o == (ramp.Odds{}) {
		return "-"
	}
	return o.String()
}

// Format is how rows are printed.
type Format string

// The formats.
const (
	Table Format = "table"
	JSON  Format = "json"
)

// Write prints rows. The table says which command ends the waiting for a person.
func Write(w io.Writer, rows []Row, format Format) error {
	var text bytes.Buffer
	if format == JSON {
		encoder := json.NewEncoder(&text)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(rows); err != nil {
			return fmt.Errorf("print the ramps: %w", err)
		}
	} else {
		writeTable(&text, rows)
	}
	if _, err := w.Write(text.Bytes()); err != nil {
		return fmt.Errorf("print the ramps: %w", err)
	}
	return nil
}

func writeTable(text *bytes.Buffer, rows []Row) {
	table := tabwriter.NewWriter(text, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "SERVICE\tPOSITION\tPHASE\tEVIDENCE\tFAILURES/OLD\tSLOW/OLD\tNEXT")
	for _, row := range rows {
		c := row.cells()
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", c[0], c[1], c[2], c[3], c[4], c[5], c[6])
	}
	_ = table.Flush() // a Buffer takes everything
	for _, row := range rows {
		if row.NeedsPerson {
			verb := ramp.Resume
			if row.Reason == ramp.ReasonAsk {
				verb = ramp.Approve
			}
			fmt.Fprintf(text, "%s waits for you: migration-proxy ramp %s %s\n", row.Service, row.Service, verb)
		}
	}
}

// Show prints the ramp of a service, or of all with service "".
func Show(ctx context.Context, w io.Writer, from Source, service migration.Name, format Format) error {
	now, err := look(ctx, from)
	if err != nil {
		return err
	}
	if service == "" && len(now.rows) == 0 && format == Table {
		_, err := fmt.Fprintln(w, "no service of the config has a ramp")
		return err
	}
	if service != "" {
		row, err := now.row(service)
		if err != nil {
			return err
		}
		return Write(w, []Row{row}, format)
	}
	return Write(w, now.rows, format)
}

// sight is what a Source has at one moment.
type sight struct {
	known    []string // all services of the config
	rows     []Row
	commands status.Commands
}

func look(ctx context.Context, from Source) (sight, error) {
	table, err := from.table(ctx)
	if err != nil {
		return sight{}, err
	}
	data, err := from.data(ctx)
	if err != nil {
		return sight{}, err
	}
	rows, err := Rows(table, data, time.Now())
	if err != nil {
		return sight{}, err
	}
	commands, err := status.ParseCommands(data)
	now := sight{rows: rows, commands: commands}
	for _, service := range table.Services() {
		now.known = append(now.known, string(service.Name))
	}
	return now, err
}

package ramps

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/rampview"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/ramp"
)

// cells are a line of the table.
func cells(r rampview.Row) [7]string {
	line := [7]string{r.Service, r.Where(), r.What(), "-", "-", "-", r.NextStep()}
	if r.Evidence != nil {
		line[3] = r.Summary.Progress()
		line[4], line[5] = odds(r.Evidence.Failures), odds(r.Evidence.Slow)
	}
	return line
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
func Write(w io.Writer, rows []rampview.Row, format Format) error {
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

func writeTable(text *bytes.Buffer, rows []rampview.Row) {
	table := tabwriter.NewWriter(text, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "SERVICE\tPOSITION\tPHASE\tEVIDENCE\tFAILURES/OLD\tSLOW/OLD\tNEXT")
	for _, row := range rows {
		c := cells(row)
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
	now, err := snapshotOf(ctx, from)
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
		return Write(w, []rampview.Row{row}, format)
	}
	return Write(w, now.rows, format)
}

// snapshot is what a Source has at one moment.
type snapshot struct {
	table    *migration.Table
	rows     []rampview.Row
	commands status.Commands
}

func snapshotOf(ctx context.Context, from Source) (snapshot, error) {
	table, err := from.table(ctx)
	if err != nil {
		return snapshot{}, err
	}
	data, err := from.data(ctx)
	if err != nil {
		return snapshot{}, err
	}
	rows, err := rampview.Rows(table, data, time.Now())
	if err != nil {
		return snapshot{}, err
	}
	commands, err := status.ParseCommands(data)
	return snapshot{table: table, rows: rows, commands: commands}, err
}

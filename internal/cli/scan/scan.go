package scan

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/scan"
)

// Format is how a result is printed.
type Format string

// The formats. Config is no result: the services that a migration config needs.
const (
	Table    Format = "table"
	JSON     Format = "json"
	Markdown Format = "markdown"
	Config   Format = "config"
)

// Source has what is to be scanned.
type Source interface {
	read(context.Context) (scanned, error)
}

// scanned is what a Source has read.
type scanned struct {
	objects scan.Objects
	sources map[int]string   // the files of Ingresses, by their index
	table   *migration.Table // nil: there is no migration config
	notes   []string         // what could not be looked at
}

// Options are what a user wants to see.
type Options struct {
	Format Format
	FailOn scan.Verdict     // the verdict that is an error, as are worse ones; "": none
	Table  *migration.Table // the migration config; nil: that of the source
}

// Show scans the source and prints what it found.
func Show(ctx context.Context, w io.Writer, from Source, options Options) error {
	read, err := from.read(ctx)
	if err != nil {
		return err
	}
	if options.Table != nil {
		read.table = options.Table
	}
	suggested := scan.Suggest(read.objects, read.table)
	if err := read.addToTable(suggested); err != nil {
		return err
	}
	result := read.examine()
	result.Missing = len(suggested)
	if err := write(w, result, suggested, options.Format); err != nil {
		return err
	}
	return checkFailOn(result, options.FailOn)
}

func write(w io.Writer, result scan.Result, suggested []scan.Suggestion, format Format) error {
	switch format {
	case JSON:
		return writeJSON(w, result)
	case Markdown:
		return writeMarkdown(w, result)
	case Config:
		_, err := io.WriteString(w, scan.Text(suggested))
		return err
	}
	return writeTable(w, result)
}

// addToTable makes the table one that has the suggested services too. They are loaded
// from the text that a user gets, so that both are the same.
func (s *scanned) addToTable(suggested []scan.Suggestion) error {
	added, err := config.Load("the suggested services", []byte(scan.Loadable(scan.Text(suggested))))
	if err != nil {
		return fmt.Errorf("defect: %w", err)
	}
	if s.table == nil {
		s.table = added
		return nil
	}
	s.table, err = migration.NewTable(s.table.Global(), slices.Concat(s.table.Services(), added.Services()))
	return err
}

func (s *scanned) examine() scan.Result {
	result := scan.Examine(s.objects, s.table, s.sources)
	result.Notes = s.notes
	return result
}

// failOnError says that Ingresses are as bad as the user does not want.
func checkFailOn(result scan.Result, verdict scan.Verdict) error {
	if verdict == "" {
		return nil
	}
	bad := 0
	for _, ingress := range result.Ingresses {
		if ingress.Verdict.AtLeast(verdict) {
			bad++
		}
	}
	if bad == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d Ingresses are %s or worse, and --fail-on %s makes this an error", bad, len(result.Ingresses), verdict, verdict)
}

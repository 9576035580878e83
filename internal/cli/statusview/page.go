package statusview

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/migration-proxy/migration-proxy/internal/status"
)

// page is a status for people.
type page struct {
	headline string
	services []serviceRow
	replicas [][]string // the cells of each replica after a row of heads; printed in Wide only
	problems []string   // each is one line or more
}

// serviceRow is the row of one service.
type serviceRow struct {
	status.Service
	observed string // the observed share, or that of each replica
	changed  string // the newest entry of the journal; printed in Wide only
}

func (p page) print(w io.Writer, wide bool) error {
	heads := []string{
		"NAME", "HOST", "PATH", "SHARE", "OBSERVED", "PHASE", "RPS old/new", "ERR old/new", "P50 old/new", "P99 old/new",
	}
	if wide {
		heads = append(heads, "STRATEGY", "RESCUED", "OLD", "NEW")
	}
	withChanges := wide && slices.ContainsFunc(p.services, func(row serviceRow) bool { return row.changed != "" })
	if withChanges {
		heads = append(heads, "LAST CHANGE")
	}
	services := [][]string{heads}
	for _, row := range p.services {
		cells := row.cells(wide)
		if withChanges {
			cells = append(cells, cmp.Or(row.changed, "-"))
		}
		services = append(services, cells)
	}
	if _, err := fmt.Fprintf(w, "%s\n\n", p.headline); err != nil {
		return err
	}
	if err := printTable(w, services); err != nil {
		return err
	}
	if wide && len(p.replicas) > 1 {
		fmt.Fprintln(w)
		if err := printTable(w, p.replicas); err != nil {
			return err
		}
	}
	for _, problem := range p.problems {
		if _, err := fmt.Fprintf(w, "\n%s\n", problem); err != nil {
			return err
		}
	}
	return nil
}

func printTable(w io.Writer, rows [][]string) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, cells := range rows {
		fmt.Fprintln(table, strings.Join(cells, "\t"))
	}
	return table.Flush()
}

func (r serviceRow) cells(wide bool) []string {
	cells := []string{
		r.Name, r.OldHost, r.PathPrefix, share(r.Service), r.observed, string(r.Phase),
		decimal(r.Old.Rate) + "/" + decimal(r.New.Rate),
		decimal(100*r.Old.Failed) + "%/" + decimal(100*r.New.Failed) + "%",
		latency(r.Old.P50) + "/" + latency(r.New.P50),
		latency(r.Old.P99) + "/" + latency(r.New.P99),
	}
	if wide {
		cells = append(cells, r.Strategy, strconv.FormatUint(r.New.Rescued, 10), r.Old.Backend, r.New.Backend)
	}
	return cells
}

// share is "5%", or "5% (of 100%)" while a ramp holds it below the percentage of the
// config.
func share(s status.Service) string {
	text := strconv.FormatFloat(s.Share, 'f', -1, 64) + "%"
	if s.Ramp != nil && s.Ramp.Ceiling > s.Share {
		text += " (of " + strconv.FormatFloat(s.Ramp.Ceiling, 'f', -1, 64) + "%)"
	}
	return text
}

func decimal(value float64) string { return strconv.FormatFloat(value, 'f', 1, 64) }

// percent is an observed share, "-" without requests, or "few" when there were too
// few since the share last changed.
func percent(share *float64, requests uint64) string {
	switch {
	case share != nil:
		return decimal(*share) + "%"
	case requests > 0:
		return "few"
	}
	return "-"
}

// latency is in milliseconds, or "-" without requests.
func latency(seconds float64) string {
	switch {
	case seconds == 0:
		return "-"
	case seconds < 0.01:
		return decimal(1000*seconds) + "ms"
	}
	return strconv.FormatFloat(1000*seconds, 'f', 0, 64) + "ms"
}

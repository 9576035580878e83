package page

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/rampview"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/ramp"
)

// Row is one line of the table. The script fills a line from its JSON in the way the
// template does.
type Row struct {
	Name   string   `json:"name"`
	Where  string   `json:"where"` // host and path
	Phase  string   `json:"phase"`
	Sign   string   `json:"sign"`   // a character that goes with the phase
	Person bool     `json:"person"` // it needs a person
	Bar    Bar      `json:"bar"`
	Cells  []string `json:"cells"` // the other columns, in their order
}

// Bar are the parts of the bar of the shares, in percent.
type Bar struct {
	Ceiling float64 `json:"ceiling"`
	Share   float64 `json:"share"`
	Low     float64 `json:"low"`  // the lowest observed share of a replica; -1: not known
	Wide    float64 `json:"wide"` // from there to the highest one
}

// Heads are the heads of the columns, Row.Cells from the third on.
var Heads = []string{
	"Service", "Phase", "Share", "Observed", "Requests/s old / new", "Failed old / new", "Median old / new", "99th percentile old / new",
	"Evidence of the ramp", "Next step",
}

var signs = map[status.Phase]string{
	status.Migrating: "▶", status.FallenBack: "◀", status.Recovering: "↻", status.Bypassed: "⤴", status.Disabled: "■",
}

func (snap *Snapshot) row(s *Service, now time.Time) Row {
	row := Row{
		Name: s.Name, Where: where(s), Phase: string(s.Phase), Sign: cmp.Or(signs[s.Phase], "?"), Bar: bar(s), Cells: []string{
			shareText(s), observedText(s),
			pair(s.Old.Rate, s.New.Rate, decimal), pair(100*s.Old.Failed, 100*s.New.Failed, percent),
			pair(s.Old.P50, s.New.P50, latency), pair(s.Old.P99, s.New.P99, latency), "–", "–",
		},
	}
	if own, ok := snap.Ramps[s.Name]; ok {
		row.Cells[6], row.Cells[7], row.Person = evidence(own), orDash(own.NextStep()), own.NeedsPerson
	}
	row.Person = row.Person || slices.ContainsFunc(s.Problems(now), func(p status.Problem) bool { return p.Person })
	return row
}

func where(s *Service) string {
	if s.PathPrefix == "/" {
		return s.OldHost
	}
	return s.OldHost + s.PathPrefix
}

// shareText is "5 %", or "5 % of 100 %" while a ramp holds it below the ceiling.
func shareText(s *Service) string {
	text := number(s.Share) + " %"
	switch {
	case s.Strategy == "header" || s.Strategy == "ip":
		return "rules"
	case s.Ramp != nil && s.Ramp.Advise:
		return text + " (advised " + number(s.Ramp.Position) + " %)"
	case s.Ramp != nil && s.Ramp.Ceiling != s.Share:
		return text + " of " + number(s.Ramp.Ceiling) + " %"
	}
	return text
}

// observedText is "19.8 %", or "19.1 to 20.4 %" when replicas differ.
func observedText(s *Service) string {
	low, high := spread(s)
	switch {
	case s.Observed == nil && s.ObservedRequests > 0:
		return "few requests"
	case s.Observed == nil:
		return "–"
	case decimal(low) != decimal(high):
		return decimal(low) + " to " + decimal(high) + " %"
	}
	return decimal(*s.Observed) + " %"
}

// spread are the lowest and the highest observed share of the replicas.
func spread(s *Service) (low, high float64) {
	if s.Observed == nil {
		return -1, -1
	}
	low, high = *s.Observed, *s.Observed
	for _, replica := range s.Replicas {
		if replica.Observed != nil {
			low, high = min(low, *replica.Observed), max(high, *replica.Observed)
		}
	}
	return low, high
}

func bar(s *Service) Bar {
	low, high := spread(s)
	b := Bar{Ceiling: s.Share, Share: s.Share, Low: low, Wide: max(high-low, 1)}
	if s.Ramp != nil {
		b.Ceiling = s.Ramp.Ceiling
	}
	return b
}

// evidence is "measuring: 312 of 600 requests, 12m of 30m; new fails 0.9 (0.5 to 1.6)
// times as often".
func evidence(r rampview.Row) string {
	text := r.What()
	if r.Evidence == nil || r.Phase == ramp.Done {
		return text
	}
	text += ": " + r.Summary.Progress()
	if r.Evidence.Failures != (ramp.Odds{}) {
		text += "; new fails " + r.Evidence.Failures.String() + " times as often"
	}
	return text
}

// orDash is the page's sign for nothing in the place of the table's of a terminal.
func orDash(text string) string {
	if text == "-" {
		return "–"
	}
	return text
}

func pair(old, new float64, format func(float64) string) string {
	return format(old) + " / " + format(new)
}

func number(value float64) string { return strconv.FormatFloat(value, 'f', -1, 64) }

func decimal(value float64) string { return strconv.FormatFloat(value, 'f', 1, 64) }

func percent(value float64) string { return decimal(value) + " %" }

// latency is in milliseconds, or "–" without requests.
func latency(seconds float64) string {
	switch {
	case seconds == 0:
		return "–"
	case seconds < 0.01:
		return decimal(1000*seconds) + " ms"
	}
	return strconv.FormatFloat(1000*seconds, 'f', 0, 64) + " ms"
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05Z") }

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

// matches tells whether a row has all words of the filter, in any case of letters. The
// script filters in the same way.
func (r Row) matches(filter string) bool {
	text := strings.ToLower(r.Name + " " + r.Where + " " + r.Phase)
	for _, word := range strings.Fields(strings.ToLower(filter)) {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

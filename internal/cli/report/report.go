package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/migration-proxy/migration-proxy/journal"
)

// Report is the history of a migration. Its JSON is what report -o json prints: field
// names are an interface.
type Report struct {
	Source  string          `json:"source"`            // the journal that it is made from
	Service string          `json:"service,omitempty"` // "" is all
	Since   time.Time       `json:"since,omitzero"`
	Made    time.Time       `json:"made"`
	Steps   []Step          `json:"steps"`   // by service, the oldest first
	Entries []journal.Entry `json:"entries"` // the oldest first
}

// Step is a time in which a service had one share.
type Step struct {
	Service string    `json:"service"`
	Share   string    `json:"share_percent"`
	From    time.Time `json:"from"`
	To      time.Time `json:"to"` // when the report was made for the last one
	// Last tells that the share is still in force.
	Last bool `json:"last"`
	// Evidence is what was counted when the step ended; nil if nobody counted.
	Evidence *journal.Evidence `json:"evidence,omitempty"`
}

// New makes a report of the entries of a journal.
func New(source string, entries []journal.Entry, now time.Time) Report {
	if entries == nil {
		entries = []journal.Entry{}
	}
	return Report{Source: source, Made: now.UTC(), Steps: steps(entries, now.UTC()), Entries: entries}
}

// movesShare tells whether To of an entry is the share from then on.
func movesShare(entry journal.Entry) bool {
	switch entry.Kind {
	case journal.Share, journal.RampAdvanced, journal.RampReturned:
		return entry.Service != "" && entry.To != ""
	}
	return false
}

func steps(entries []journal.Entry, now time.Time) []Step {
	byService := map[string][]Step{}
	for _, entry := range entries {
		if !movesShare(entry) {
			continue
		}
		own := byService[entry.Service]
		if last := len(own) - 1; last >= 0 {
			own[last].To, own[last].Last, own[last].Evidence = entry.At, false, entry.Evidence
		}
		byService[entry.Service] = append(own, Step{Service: entry.Service, Share: entry.To, From: entry.At, To: now, Last: true})
	}
	all := []Step{}
	for _, name := range slices.Sorted(maps.Keys(byService)) {
		all = append(all, byService[name]...)
	}
	return all
}

// Format is how a report is printed.
type Format string

// The formats.
const (
	Markdown Format = "markdown"
	HTML     Format = "html"
	JSON     Format = "json"
)

// Write prints the report.
func (r Report) Write(w io.Writer, format Format) error {
	switch format {
	case HTML:
		return r.writeHTML(w)
	case JSON:
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(r); err != nil {
			return fmt.Errorf("print the report: %w", err)
		}
		return nil
	}
	return r.writeMarkdown(w)
}

// title is the headline.
func (r Report) title() string { return "Migration of " + cmp.Or(r.Service, "all services") }

// duration is how long the step took.
func (s Step) duration() string {
	text := s.To.Sub(s.From).Round(time.Second).String()
	if s.Last {
		return text + " so far"
	}
	return text
}

// figures are requests, failures of the last minute and p99, of old and new.
func (s Step) figures() [2][3]string {
	if s.Evidence == nil {
		return [2][3]string{{"-", "-", "-"}, {"-", "-", "-"}}
	}
	return [2][3]string{figures(s.Evidence.Old), figures(s.Evidence.New)}
}

func figures(side journal.Side) [3]string {
	failed := fmt.Sprintf("%.2f %%", 100*side.FailedRatio)
	if side.Failed > 0 && side.Requests > 0 {
		failed = fmt.Sprintf("%.2f %%", 100*float64(side.Failed)/float64(side.Requests))
	}
	return [3]string{fmt.Sprint(side.Requests), failed, fmt.Sprintf("%.0f ms", 1000*side.P99)}
}

func stamp(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05") }

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
	Source  string    `json:"source"`            // the journal that it is made from
	Service string    `json:"service,omitempty"` // "" is all
	Since   time.Time `json:"since,omitzero"`
	Made    time.Time `json:"made"`
	Steps   []Step    `json:"steps"` // by service, the oldest first
	// Returns are the times in which a service was on old although its share was not 0.
	Returns []Return        `json:"returns"`
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
	// Users is the share as users: how many of the 10,000 buckets are at new. Moved is how
	// many more than in the step before.
	Users int `json:"buckets_at_new"`
	Moved int `json:"buckets_moved"`
	// Evidence is what was counted when the step ended; nil if nobody counted.
	Evidence *journal.Evidence `json:"evidence,omitempty"`
	By       string            `json:"by,omitempty"`
	Why      string            `json:"why,omitempty"`
}

// New makes a report of the entries of a journal.
func New(source string, entries []journal.Entry, now time.Time) Report {
	if entries == nil {
		entries = []journal.Entry{}
	}
	now = now.UTC()
	return Report{Source: source, Made: now, Steps: perService(entries, now, stepsOf), Returns: perService(entries, now, returnsOf), Entries: entries}
}

// perService is what of gives for the entries of each service, by name.
func perService[T any](entries []journal.Entry, now time.Time, of func(name string, entries []journal.Entry, now time.Time) []T) []T {
	services := map[string][]journal.Entry{}
	for _, entry := range entries {
		if entry.Service != "" {
			services[entry.Service] = append(services[entry.Service], entry)
		}
	}
	all := []T{}
	for _, name := range slices.Sorted(maps.Keys(services)) {
		all = append(all, of(name, services[name], now)...)
	}
	return all
}

// stepsOf are the times of one service between two changes of its share. What was counted
// in one is in the entry that ended it; for the last, in the newest entry.
func stepsOf(name string, entries []journal.Entry, now time.Time) []Step {
	var own []Step
	points := journal.Shares(entries)
	before := 0
	for i, point := range points {
		step := Step{Service: name, Share: journal.Percent(point.Share), From: point.At, To: now, Last: i == len(points)-1, By: point.Cause.By, Why: point.Cause.Why}
		step.Users = int(point.Share*100 + 0.5)
		step.Moved, before = step.Users-before, step.Users
		if step.Last {
			step.Evidence = newestEvidence(entries, point.At)
		} else {
			step.To, step.Evidence = points[i+1].At, points[i+1].Cause.Evidence
		}
		own = append(own, step)
	}
	return own
}

// newestEvidence is what was counted last in a step that goes on.
func newestEvidence(entries []journal.Entry, since time.Time) *journal.Evidence {
	for _, entry := range slices.Backward(entries) {
		if entry.At.After(since) && entry.Evidence != nil && entry.Evidence.New.Requests > 0 {
			return entry.Evidence
		}
	}
	return nil
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

// users is "2500 (+2000)".
func (s Step) users() string { return fmt.Sprintf("%d (%+d)", s.Users, s.Moved) }

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

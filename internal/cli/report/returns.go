package report

import (
	"fmt"
	"time"

	"github.com/migration-proxy/migration-proxy/journal"
)

// Return is a time in which a service was on old although its share was not 0.
type Return struct {
	Service string       `json:"service"`
	Kind    journal.Kind `json:"kind"`
	Drill   bool         `json:"drill,omitempty"`
	At      time.Time    `json:"at"`
	To      time.Time    `json:"to"` // when the report was made while it lasts
	Lasts   bool         `json:"lasts"`
	Why     string       `json:"why"`
	// Share is what new had until then, and Evidence what was counted in it: the blast
	// radius.
	Share    string            `json:"share_percent"`
	Evidence *journal.Evidence `json:"evidence,omitempty"`
}

func returnsOf(name string, entries []journal.Entry, now time.Time) []Return {
	var own []Return
	points := journal.Shares(entries)
	for _, entry := range entries {
		switch last := len(own) - 1; {
		case entry.Kind == journal.FellBack || entry.Kind == journal.Bypassed || entry.Kind == journal.RampReturned:
			own = append(own, Return{
				Service: name, Kind: entry.Kind, Drill: entry.Drill, At: entry.At, To: now, Lasts: entry.Kind != journal.RampReturned,
				Why: entry.Why, Share: shareBefore(points, entry), Evidence: entry.Evidence,
			})
		case entry.Kind == journal.Recovered && last >= 0 && own[last].Lasts:
			own[last].To, own[last].Lasts = entry.At, false
		}
	}
	return own
}

// shareBefore is the share until an entry.
func shareBefore(points []journal.SharePoint, entry journal.Entry) string {
	share := "-"
	for _, point := range points {
		if point.Cause.ID != entry.ID && !point.At.After(entry.At) {
			share = journal.Percent(point.Share)
		}
	}
	return share
}

// what names the kind.
func (r Return) what() string {
	if r.Drill {
		return "drill"
	}
	switch r.Kind {
	case journal.FellBack:
		return "fallback"
	case journal.Bypassed:
		return "bypass"
	}
	return "return of the ramp"
}

func (r Return) duration() string {
	switch {
	case r.Lasts:
		return r.To.Sub(r.At).Round(time.Second).String() + " so far"
	case r.Kind == journal.RampReturned:
		return "-"
	}
	return r.To.Sub(r.At).Round(time.Second).String()
}

// reached is how many requests met a new that failed, as far as it was counted.
func (r Return) reached() string {
	switch {
	case r.Evidence == nil:
		return "not counted: no replica had answered before"
	case r.Evidence.New.Requests == 0:
		return "none that the share decided (rules are not counted)"
	}
	new := figures(r.Evidence.New)
	return fmt.Sprintf("%s requests to new since %s, %s failed", new[0], stamp(r.Evidence.Since), new[1])
}

// Radius is a line on how much ever was at stake.
func (r Report) radius() string {
	real, drills := 0, 0
	for _, one := range r.Returns {
		if one.Drill {
			drills++
		} else {
			real++
		}
	}
	most := 0
	for _, step := range r.Steps {
		most = max(most, step.Users)
	}
	return fmt.Sprintf("Blast radius: at most %d of 10,000 users at new at a time; %d returns to old, %d drills.", most, real, drills)
}

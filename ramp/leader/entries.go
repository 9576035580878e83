package leader

import (
	"fmt"
	"time"

	"github.com/migration-proxy/migration-proxy/journal"
	"github.com/migration-proxy/migration-proxy/ramp"
)

// Entries are what the journal gets of a step: what became of a command, and a transition.
func Entries(name string, after ramp.State, d ramp.Decision, now time.Time) []journal.Entry {
	var entries []journal.Entry
	if d.Command != nil {
		entries = append(entries, commandEntry(name, d, now))
	}
	if !d.Transition {
		return entries
	}
	entry := journal.Entry{
		At: after.Since, Kind: kindOf(d), Service: name, From: d.From.String(), To: d.To.String(),
		What: fmt.Sprintf("ramp %s -> %s", orBegin(d.Was), d.Phase), Why: d.Why, By: d.By, Evidence: evidenceOf(d.Summary),
	}
	if d.From != d.To {
		entry.At, entry.What = after.StepSince, fmt.Sprintf("share %s -> %s", d.From, d.To)
	}
	return append(entries, entry)
}

// kindOf tells what sort of transition it is.
func kindOf(d ramp.Decision) journal.Kind {
	switch {
	case d.To > d.From:
		return journal.RampAdvanced
	case d.To < d.From:
		return journal.RampReturned
	case d.NeedsPerson:
		return journal.RampNeedsYou
	}
	return journal.RampChanged
}

// commandEntry tells what became of a command. One that moved something is a transition as
// well.
func commandEntry(name string, d ramp.Decision, now time.Time) journal.Entry {
	what := fmt.Sprintf("ramp %s at %s %%", d.Command.Verb, d.From)
	if d.Refused != "" {
		what += " did nothing: " + d.Refused
	}
	return journal.Entry{At: now, Kind: journal.RampChanged, Service: name, What: what, Why: d.Command.Reason, By: d.Command.By}
}

func orBegin(phase ramp.Phase) ramp.Phase {
	if phase == "" {
		return ramp.Off
	}
	return phase
}

func evidenceOf(s ramp.Summary) *journal.Evidence {
	if s.New.Requests+s.Old.Requests == 0 {
		return nil
	}
	return &journal.Evidence{
		Old: sideOf(s.Old), New: sideOf(s.New),
		Odds: s.Failures.Ratio, OddsLow: s.Failures.Low, OddsHigh: s.Failures.High, Bad: s.BadBet, Good: s.GoodBet,
	}
}

func sideOf(c ramp.Counts) journal.Side {
	return journal.Side{Requests: c.Requests, Failed: c.Failed, Slow: c.Slow}
}

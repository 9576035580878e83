package ramp

import (
	"fmt"
	"time"

	"github.com/migration-proxy/migration-proxy/migration"
)

// Decision is what a Step did, and why.
type Decision struct {
	From, To    migration.Share // the position before and after
	Was, Phase  Phase
	Reason      Reason
	Transition  bool // position, phase or reason changed
	NeedsPerson bool
	Why         string // a sentence
	By          string // the person, for a command
	Command     *Command
	Refused     string // why the command did nothing
	Summary     Summary
}

// Summary is the evidence in numbers for people.
type Summary struct {
	Old      Counts        `json:"old"`
	New      Counts        `json:"new"`
	Failures Odds          `json:"failures"`
	Slow     Odds          `json:"slow"`
	BadBet   float64       `json:"bad_bet"`  // the larger of both measures; 1000 is bad
	GoodBet  float64       `json:"good_bet"` // the logarithm, the smaller of both; 3 is good
	Verdict  Verdict       `json:"verdict"`
	Wanted   int           `json:"wanted_requests"` // to new, in the step
	Held     time.Duration `json:"held"`
	Hold     time.Duration `json:"hold"`
}

func (m *machine) summary() Summary {
	e := &m.Evidence
	sum := Summary{
		Old: e.Old, New: e.New, Failures: e.Failures.Odds(), Slow: e.Slow.Odds(),
		BadBet: max(e.Failures.badCapital(), e.Slow.badCapital()), GoodBet: e.Failures.Good,
		Verdict: e.verdict(m.config.Ramp.Judge), Wanted: m.config.Ramp.Judge.MinRequests,
		Held: m.now.Sub(m.StepSince), Hold: m.config.hold(m.Position),
	}
	if e.Slow.Slots > 0 {
		sum.GoodBet = min(sum.GoodBet, e.Slow.Good)
	}
	if m.Settling || m.Position == 0 {
		sum.Held = 0
	}
	return sum
}

// String is the evidence as in "312 of 600 requests, 12m of 30m, failures 0.9 times
// old's (0.5 to 1.6)".
func (s Summary) String() string {
	text := s.Progress()
	if s.Failures != (Odds{}) {
		text += fmt.Sprintf(", failures %s times old's (%d of %d, old %d of %d)", s.Failures, s.New.Failed, s.New.Requests, s.Old.Failed, s.Old.Requests)
	}
	if s.Slow != (Odds{}) {
		text += fmt.Sprintf(", slow answers %s times old's", s.Slow)
	}
	return text
}

// Progress is how much of what a step needs is there: "312 of 600 requests, 12m of 30m".
func (s Summary) Progress() string {
	return fmt.Sprintf("%d of %d requests, %s of %s", s.New.Requests, s.Wanted, short(min(s.Held, s.Hold)), short(s.Hold))
}

// String is the odds ratio with its interval.
func (o Odds) String() string { return fmt.Sprintf("%.2g (%.2g to %.2g)", o.Ratio, o.Low, o.High) }

// short is a duration without zero units at its end.
func short(d time.Duration) string {
	d = d.Truncate(time.Second)
	switch {
	case d >= time.Hour && d%time.Hour < time.Minute:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute && d%time.Minute < time.Second:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return d.String()
}

// ETA is how long the step takes at least at the present rate; 0 when it could rise
// now, and negative when the rate is 0.
func (s Summary) ETA() time.Duration {
	left := max(s.Hold-s.Held, 0)
	missing := float64(s.Wanted) - float64(s.New.Requests)
	switch {
	case missing <= 0:
		return left
	case s.New.Requests == 0 || s.Held <= 0:
		return -1
	}
	seconds := missing / float64(s.New.Requests) * s.Held.Seconds()
	return max(left, time.Duration(seconds*float64(time.Second)))
}

// Describe gives the Decision of a Step that changes nothing: what a stored state means
// for people.
func Describe(c Config, s State, now time.Time) Decision {
	m := &machine{State: s.clone(), config: c, before: s, now: now.UTC()}
	if c.on() {
		m.judged = m.summary()
	}
	return m.decision()
}

// decision compares the states before and after.
func (m *machine) decision() Decision {
	d := Decision{
		From: m.before.Position, To: m.Position, Was: m.before.Phase, Phase: m.Phase, Reason: m.Reason,
		Why: m.why, By: m.by, Command: m.taken, Refused: m.refused, Summary: m.judged,
		NeedsPerson: m.Phase == Waiting && m.Reason.needsPerson(),
	}
	d.Transition = d.From != d.To || d.Was != d.Phase || m.before.Reason != m.Reason
	if d.Why == "" {
		d.Why = m.sentence()
	}
	return d
}

// sentence describes the present state.
func (m *machine) sentence() string {
	switch m.Phase {
	case Waiting:
		if m.Detail != "" {
			return string(m.Reason) + ": " + m.Detail
		}
		return string(m.Reason)
	case Measuring:
		return m.judged.String()
	case Cooling:
		return fmt.Sprintf("new was bad at %s %%; the next attempt is not before %s", m.BadAt, m.Until.Format(time.RFC3339))
	case Done:
		return "the last step is reached"
	case Rising:
		return "not every replica serves the position yet"
	case Returning:
		return fmt.Sprintf("new was bad at %s %%; the share falls to %s %%", m.BadAt, m.Target)
	}
	return "no ramp, disabled, or percentage 0"
}

package ramp

import (
	"math"

	"github.com/migration-proxy/migration-proxy/migration"
)

// alternatives are the odds, in times the tolerated ones, that the test of BAD looks
// for. Their mean is a bet on all of them.
var alternatives = [...]float64{2, 4, 10, 30}

// Error probabilities of one step and measure, however often one looks: of a return
// although new's odds are tolerated, and of a good verdict although they are at least
// the excluded ones.
const falseBad, falseGood = 0.001, 0.05

// Tally has the sums of the two sequential tests of one measure.
//
// Given that a failure happens in a slot, it happens at new with probability
//
//	p(psi) = nn psi / (nn psi + no)
//
// if new's odds are psi times old's. The likelihood ratio of each failure against the
// limit of the hypothesis is a bet at fair odds, so that the capital of the bettor, which
// Bad and Good are, exceeds 1/a with probability a at most (Ville's inequality), at
// whatever moment one looks.
type Tally struct {
	// Bad is the capital for each alternative. In each slot a part of the first
	// unit of money enters, so that a new side that gets worse after days is found too:
	// bets that began before the change have lost everything.
	Bad [len(alternatives)]float64 `json:"bad"`
	// Good is the logarithm of the capital against the excluded odds. It has an upper
	// limit, so that it falls soon when new gets worse.
	Good  float64 `json:"good"`
	Slots int     `json:"slots"`
	// Units and events of the slots in which old was well.
	OldUnits  float64 `json:"old_units"`
	OldEvents float64 `json:"old_events"`
	NewUnits  float64 `json:"new_units"`
	NewEvents float64 `json:"new_events"`
	// Sums of Mantel and Haenszel for the common odds ratio of all slots.
	Above float64 `json:"above"`
	Below float64 `json:"below"`
}

// maxBad keeps Bad finite.
const maxBad = 1e9

var goodAt, maxGood = math.Log(1 / falseGood), 2 * math.Log(1/falseGood)

// add takes a slot in. Without requests at both sides it says nothing. With oldWell
// false it can only be bad for new.
func (t *Tally) add(limits migration.OddsLimits, s stratum, oldWell bool) {
	if s.oldUnits <= 0 || s.newUnits <= 0 {
		return
	}
	t.Slots++
	for i, k := range alternatives {
		won := s.ratio(k*limits.Tolerate, limits.Tolerate)
		t.Bad[i] = min((t.Bad[i]+entering(t.Slots))*math.Exp(won), maxBad)
	}
	if !oldWell {
		return
	}
	t.Good = min(t.Good+s.ratio(1, limits.Exclude), maxGood)
	t.OldUnits, t.OldEvents = t.OldUnits+s.oldUnits, t.OldEvents+s.oldEvents
	t.NewUnits, t.NewEvents = t.NewUnits+s.newUnits, t.NewEvents+s.newEvents
	all := s.oldUnits + s.newUnits
	t.Above += s.newEvents * (s.oldUnits - s.oldEvents) / all
	t.Below += s.oldEvents * (s.newUnits - s.newEvents) / all
}

// ratio is the logarithm of the likelihood ratio of odds psi to odds against.
func (s stratum) ratio(psi, against float64) float64 {
	one := s.newUnits * psi / (s.newUnits*psi + s.oldUnits)
	other := s.newUnits * against / (s.newUnits*against + s.oldUnits)
	return s.newEvents*math.Log(one/other) + s.oldEvents*math.Log((1-one)/(1-other))
}

// slotsPerHour is how many slots have the same part of the money.
const slotsPerHour = 360

// entering is the part of the money that enters in a slot: half of it in the first one,
// and in hour j of the others together 1/(2 j (j+1)). All parts together are 1.
func entering(slot int) float64 {
	if slot == 1 {
		return 0.5
	}
	hour := float64(1 + (slot-2)/slotsPerHour)
	return 0.5 / (hour * (hour + 1)) / slotsPerHour
}

// badCapital is the capital of the bet that new is bad.
func (t *Tally) badCapital() float64 {
	sum := 0.0
	for _, one := range t.Bad {
		sum += one
	}
	return sum / float64(len(alternatives))
}

func (t *Tally) isBad() bool { return t.badCapital() >= 1/falseBad }

// isGood tells whether the excluded odds are excluded, or whether so few failed that
// new fails at most maxExtra more than old.
func (t *Tally) isGood(maxExtra float64) bool {
	if t.OldUnits == 0 || t.NewUnits == 0 {
		return false
	}
	return t.Good >= goodAt || upper95(t.NewEvents, t.NewUnits) <= t.OldEvents/t.OldUnits+maxExtra
}

// upper95 is the upper end of the one-sided 95 % confidence interval of a ratio: the
// rule of three without an event (3 of 600 is 0.5 %), and Wilson and Hilferty's
// approximation of the Poisson distribution with some.
func upper95(events, units float64) float64 {
	n := events + 1
	root := 1 - 1/(9*n) + 1.645/(3*math.Sqrt(n))
	return n * root * root * root / units
}

// Odds is how many times old's odds are new's, with the 95 % confidence interval.
type Odds struct {
	Ratio float64 `json:"ratio"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// Odds estimates the common odds ratio of all slots. Without any event the interval
// is wide, not absent.
func (t *Tally) Odds() Odds {
	if t.OldUnits == 0 || t.NewUnits == 0 {
		return Odds{}
	}
	fn, fo := t.NewEvents+0.5, t.OldEvents+0.5
	rn, ro := t.NewUnits-t.NewEvents+0.5, t.OldUnits-t.OldEvents+0.5
	ratio := fn * ro / (fo * rn)
	if t.Above > 0 && t.Below > 0 {
		ratio = t.Above / t.Below
	}
	spread := math.Exp(1.96 * math.Sqrt(1/fn+1/fo+1/rn+1/ro))
	return Odds{Ratio: ratio, Low: ratio / spread, High: ratio * spread}
}

// Verdict is what the judge says about new.
type Verdict string

// The verdicts.
const (
	NotYet Verdict = "not yet"
	Good   Verdict = "good"
	Bad    Verdict = "bad"
)

// verdict judges both measures. Slow answers are judged once there are bounds.
func (e *Evidence) verdict(judge migration.RampJudge) Verdict {
	switch {
	case e.Failures.isBad() || e.Slow.isBad():
		return Bad
	case e.New.Requests >= uint64(judge.MinRequests) && e.Failures.isGood(judge.MaxExtra) &&
		(e.Slow.Slots == 0 || e.Slow.isGood(judge.MaxExtra)):
		return Good
	}
	return NotYet
}

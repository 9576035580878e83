package ramp

import (
	"fmt"
	"math"
	"time"

	"github.com/migration-proxy/migration-proxy/migration"
)

// Doubt is a step that the judge cannot decide, or not before a day is over.
type Doubt struct {
	Step int    // its index
	Text string // why, and the way out
}

// Limits of a doubt. sensible is how long a step may lack requests. With fewer buckets
// than minBuckets new cannot be bad: each counts once, and the bet that new is 30 times
// as bad has won 0.5 * 30^2 / 4 after two of them, of 1000. maxFailures is a failure each
// ten seconds for a day.
const (
	sensible    = 24 * time.Hour
	minBuckets  = 3
	maxFailures = 8640
)

// Doubts are the steps of a service's ramp that cannot be judged, one for each. Rate is
// how many requests per second the service gets; 0: it is not known.
func Doubts(s *migration.Service, rate float64) []Doubt {
	if s.Ramp == nil {
		return nil
	}
	var found []Doubt
	for i, step := range s.Ramp.Steps {
		text := doubt(s, step, rate)
		if text == "" {
			continue
		}
		found = append(found, Doubt{i, fmt.Sprintf("service %s: ramp step %s %%: %s", s.Name, step.To, text)})
	}
	return found
}

func doubt(s *migration.Service, step migration.RampStep, rate float64) string {
	judge, waits := s.Ramp.Judge, s.Ramp.NoData == 0
	if buckets := int(step.To); s.Strategy == migration.StrategyUserHash && buckets < minBuckets {
		return fmt.Sprintf("it has %d of 10000 buckets of users, each counts once, and new is bad after %d at the earliest, so that a bad new is never found; begin with 0.03 or more", buckets, minBuckets)
	}
	if failures := failuresUntilBad(step.To, judge.Failures); step.To < migration.FullShare && failures > maxFailures {
		return fmt.Sprintf("old gets so few requests that new is bad only after %.0f failures more than old; end with 99, and write the last step when the migration ends", failures)
	}
	if judge.MaxExtra == 0 && waits {
		return "with judge.max_extra 0 a new that never fails is not good as long as old does not fail either, so the ramp waits for ever; write max_extra: 0.5, or no_data: 24h"
	}
	needed := requestsUntilGood(judge)
	if lasts := needed / (rate * step.To.Percent() / 100); rate > 0 && waits && lasts > max(sensible, step.Hold).Seconds() {
		return fmt.Sprintf("at %.2g requests per second it takes %s at least until %.0f of them went to new, which the judge needs; begin with a larger step, lower judge.min_requests and raise max_extra, or write no_data: 24h",
			rate, inDays(lasts), needed)
	}
	return ""
}

// requestsUntilGood is how many requests to new the judge needs when none fails.
func requestsUntilGood(judge migration.RampJudge) float64 {
	return max(float64(judge.MinRequests), math.Ceil(upper95(0, 1)/judge.MaxExtra))
}

// failuresUntilBad is how many failures of new, while old has none, make it bad in the
// first slot of a step. At 5 % these are 4, at 50 % 19, at 99 % 1,400.
func failuresUntilBad(share migration.Share, limits migration.OddsLimits) float64 {
	one := stratum{oldUnits: 1 - share.Percent()/100, newUnits: share.Percent() / 100, newEvents: 1}
	largest := alternatives[len(alternatives)-1] * limits.Tolerate
	capital := float64(len(alternatives)) / entering(1) / falseBad
	return math.Ceil(math.Log(capital) / one.ratio(largest, limits.Tolerate))
}

func inDays(seconds float64) string {
	if days := seconds / sensible.Seconds(); days < 1000 {
		return fmt.Sprintf("%.0f days", math.Ceil(days))
	}
	return "years"
}

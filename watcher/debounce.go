package watcher

import "time"

const (
	// quietPeriod is how long no input must come before the state loop looks
	// at its inputs, so that a burst of edits is one update. maxDelay is how
	// long a burst can put the update off. The first input after a quiet time
	// is looked at without delay.
	quietPeriod = 50 * time.Millisecond
	maxDelay    = 500 * time.Millisecond
)

// nextUpdate returns when to look at an input that came now, if the last
// update was then.
//
//	input at     0       20      40         600 ms
//	update at    0               90 (one)   600
func nextUpdate(now, last time.Time) time.Time {
	latest := last.Add(maxDelay)
	if soon := now.Add(quietPeriod); soon.Before(latest) {
		return soon
	}
	if latest.Before(now) {
		return now
	}
	return latest
}

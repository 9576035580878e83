package watcher

import "time"

const (
	// quiet is how long nothing must have changed before what changed is
	// looked at, so that a burst of edits is one; longest is how long a burst
	// can put that off. After a quiet time, the first change is looked at
	// without delay.
	quiet   = 50 * time.Millisecond
	longest = 500 * time.Millisecond
)

// due tells when to look at a change that came now, if the last look was then.
//
//	change at    0       20      40         600 ms
//	looked at    0               90 (one)   600
func due(now, last time.Time) time.Time {
	latest := last.Add(longest)
	if soon := now.Add(quiet); soon.Before(latest) {
		return soon
	}
	if latest.Before(now) {
		return now
	}
	return latest
}

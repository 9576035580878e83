package fallback

import (
	"math"
	"slices"
	"time"
)

// slots divide the window for the ratio.
const slots = 60

// Counts counts what requests to new came to, within a sliding window. What
// the user counts is exact: the times of the last max_failures failures are
// kept, 8 bytes each and none before it happens (800 KB for a service with
// max_failures 100000 that failed so often). What the user divides is coarse:
// 60 slots of requests and failures, half a kilobyte, so that the divisor
// costs the same at any load; they reach back over 59/60 of the window at
// least and never over more.
//
// It is not persisted: after a restart there is not enough data, and that is
// never failure. Not safe for concurrent use.
type Counts struct {
	most   int
	window time.Duration
	epoch  time.Time       // times are kept as distances from here
	latest time.Duration   // the newest time that was seen
	times  []time.Duration // ring of the last failures
	next   int             // where the oldest is, once the ring is full
	slots  [slots]slot
	last   Evidence // kind, status and ids of the last failures
}

type slot struct {
	number             int64 // since the epoch
	requests, failures uint32
}

// NewCounts counts failures up to maxFailures, which is at least 1.
func NewCounts(maxFailures int, window time.Duration) *Counts {
	return &Counts{most: max(maxFailures, 1), window: max(window, time.Millisecond)}
}

// Add counts one request; failure is NoFailure for one that succeeded. The
// id, the request's, is copied.
func (c *Counts) Add(o Outcome, failure Failure, id []byte, now time.Time) {
	at := c.at(now)
	current := c.slot(at)
	current.requests = plusOne(current.requests)
	if failure == NoFailure {
		return
	}
	current.failures = plusOne(current.failures)
	c.remember(at)
	c.last.LastFailure, c.last.LastStatus, c.last.LastError = failure, 0, ""
	if failure == FailureStatus {
		c.last.LastStatus = o.Status
	}
	if len(id) == 0 {
		return
	}
	if len(c.last.RequestIDs) == MostIDs {
		c.last.RequestIDs = slices.Delete(c.last.RequestIDs, 0, 1)
	}
	c.last.RequestIDs = append(c.last.RequestIDs, clip(string(id)))
}

// AddBroken counts a failure of a request that Add counts as a success: its
// answer broke off. Words say how.
func (c *Counts) AddBroken(failure Failure, words string, now time.Time) {
	at := c.at(now)
	current := c.slot(at)
	current.failures = plusOne(current.failures)
	c.remember(at)
	c.last.LastFailure, c.last.LastStatus, c.last.LastError = failure, 0, clip(words)
}

// explain says better what the last failure was, if it was one to connect.
func (c *Counts) explain(failure Failure, words string) {
	if c.last.LastFailure == FailureConnect {
		c.last.LastFailure, c.last.LastError = failure, clip(words)
	}
}

// Reached tells whether the window that ends now holds maxFailures failures,
// and whether these are at least the ratio of its requests.
func (c *Counts) Reached(ratio float64, now time.Time) bool {
	at := c.at(now)
	if len(c.times) < c.most || at-c.times[c.next] >= c.window {
		return false
	}
	requests, failures := c.sums(at)
	return requests == 0 || float64(failures)/float64(requests) >= ratio
}

// Evidence is what the window that ends now holds.
func (c *Counts) Evidence(now time.Time) Evidence {
	at := c.at(now)
	exact := 0
	for _, t := range c.times {
		if at-t < c.window {
			exact++
		}
	}
	requests, failures := c.sums(at)
	if exact == 0 {
		return Evidence{Requests: requests, Window: c.window}
	}
	e := c.last.clone()
	e.Window, e.Failures = c.window, max(exact, failures)
	e.Requests = max(requests, e.Failures)
	return e
}

// Reset forgets everything.
func (c *Counts) Reset() { *c = Counts{most: c.most, window: c.window} }

// at gives the time as the distance from the epoch, which uses the monotonic
// clock where both have it. Readers that overtake each other by a slot's
// length are taken as simultaneous; a clock that was set back by more makes
// all that was counted meaningless.
func (c *Counts) at(now time.Time) time.Duration {
	if c.epoch.IsZero() {
		c.epoch = now
	}
	at := now.Sub(c.epoch)
	if at < c.latest-c.window/slots {
		c.Reset()
		c.epoch, at = now, 0
	}
	c.latest = max(c.latest, at)
	return c.latest
}

func (c *Counts) remember(at time.Duration) {
	if len(c.times) < c.most {
		c.times = append(c.times, at)
		return
	}
	c.times[c.next] = at
	c.next = (c.next + 1) % c.most
}

func (c *Counts) number(at time.Duration) int64 {
	return int64(at) / max(int64(c.window)/slots, 1)
}

func (c *Counts) slot(at time.Duration) *slot {
	number := c.number(at)
	s := &c.slots[number%slots]
	if s.number != number {
		*s = slot{number: number}
	}
	return s
}

func (c *Counts) sums(at time.Duration) (requests, failures int) {
	oldest := c.number(at) - slots + 1
	for i := range c.slots {
		if s := &c.slots[i]; s.number >= oldest {
			requests += int(s.requests)
			failures += int(s.failures)
		}
	}
	return requests, failures
}

func plusOne(n uint32) uint32 {
	if n == math.MaxUint32 {
		return n
	}
	return n + 1
}

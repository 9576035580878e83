package fallback

import (
	"math"
	"slices"
	"time"
)

// slotCount is how many slots divide the window for the ratio.
const slotCount = 60

// Counts counts the requests to new, and those that new failed, within a
// sliding window.
//
// max_failures is exact: Counts keeps the times of the last max_failures
// failures, 8 bytes each from the first failure on (800 KB for a service with
// max_failures 100000 that failed so often).
//
// failure_ratio is coarse: 60 slots of requests and failures, half a kilobyte
// at any load. They cover at least 59/60 of the window, and never more than
// the window.
//
// Counts are not persisted: after a restart there is not enough data, which is
// never a failure. They are not safe for concurrent use.
type Counts struct {
	maxFailures int
	window      time.Duration
	epoch       time.Time       // times are stored as distances from it
	latest      time.Duration   // the newest time so far
	times       []time.Duration // ring of the times of the last failures
	oldest      int             // index of the oldest time, once the ring is full
	slots       [slotCount]slot
	last        Evidence // failure, status and IDs of the last failures
}

type slot struct {
	number             int64 // counted from the epoch
	requests, failures uint32
}

// NewCounts makes counts of a window for a limit of maxFailures, at least 1.
func NewCounts(maxFailures int, window time.Duration) *Counts {
	return &Counts{maxFailures: max(maxFailures, 1), window: max(window, time.Millisecond)}
}

// Add counts one request; failure is NoFailure for a success. Add copies id,
// the request ID.
func (c *Counts) Add(o Outcome, failure Failure, id []byte, now time.Time) {
	at := c.at(now)
	current := c.slot(at)
	current.requests = plusOne(current.requests)
	if failure == NoFailure {
		return
	}
	current.failures = plusOne(current.failures)
	c.addTime(at)
	c.last.LastFailure, c.last.LastStatus, c.last.LastError = failure, 0, ""
	if failure == FailureStatus {
		c.last.LastStatus = o.Status
	}
	if len(id) == 0 {
		return
	}
	if len(c.last.RequestIDs) == MaxRequestIDs {
		c.last.RequestIDs = slices.Delete(c.last.RequestIDs, 0, 1)
	}
	c.last.RequestIDs = append(c.last.RequestIDs, clip(string(id)))
}

// AddBrokenAnswer counts a failure of a request that Add counts as a success:
// its answer broke off. Message is nginx's description.
func (c *Counts) AddBrokenAnswer(failure Failure, message string, now time.Time) {
	at := c.at(now)
	current := c.slot(at)
	current.failures = plusOne(current.failures)
	c.addTime(at)
	c.last.LastFailure, c.last.LastStatus, c.last.LastError = failure, 0, clip(message)
}

// explain replaces the last failure, if it was a failure to connect, by a more
// exact one.
func (c *Counts) explain(failure Failure, message string) {
	if c.last.LastFailure == FailureConnect {
		c.last.LastFailure, c.last.LastError = failure, clip(message)
	}
}

// Reached reports whether the window that ends now holds maxFailures failures,
// and these are at least the ratio, 0 to 1, of its requests.
func (c *Counts) Reached(ratio float64, now time.Time) bool {
	at := c.at(now)
	if len(c.times) < c.maxFailures || at-c.times[c.oldest] >= c.window {
		return false
	}
	requests, failures := c.sums(at)
	return requests == 0 || float64(failures)/float64(requests) >= ratio
}

// Evidence describes the window that ends now.
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

// Reset forgets all requests.
func (c *Counts) Reset() { *c = Counts{maxFailures: c.maxFailures, window: c.window} }

// at gives the time as the distance from the epoch. It uses the monotonic
// clock where both times have it. A time that is earlier than the latest one
// by up to a slot's length counts as the latest: two readers may overtake each
// other. A clock that was set back by more makes all counts meaningless.
func (c *Counts) at(now time.Time) time.Duration {
	if c.epoch.IsZero() {
		c.epoch = now
	}
	at := now.Sub(c.epoch)
	if at < c.latest-c.window/slotCount {
		c.Reset()
		c.epoch, at = now, 0
	}
	c.latest = max(c.latest, at)
	return c.latest
}

func (c *Counts) addTime(at time.Duration) {
	if len(c.times) < c.maxFailures {
		c.times = append(c.times, at)
		return
	}
	c.times[c.oldest] = at
	c.oldest = (c.oldest + 1) % c.maxFailures
}

func (c *Counts) number(at time.Duration) int64 {
	return int64(at) / max(int64(c.window)/slotCount, 1)
}

func (c *Counts) slot(at time.Duration) *slot {
	number := c.number(at)
	s := &c.slots[number%slotCount]
	if s.number != number {
		*s = slot{number: number}
	}
	return s
}

func (c *Counts) sums(at time.Duration) (requests, failures int) {
	oldest := c.number(at) - slotCount + 1
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

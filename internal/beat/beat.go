package beat

import "time"

// After receives at the next multiple of the interval: within an interval, and on average
// after half of one. A loop that calls it again and again beats at the interval.
func After(interval time.Duration) <-chan time.Time { return time.After(until(time.Now(), interval)) }

// until is the time from now to the next multiple of the interval: of 1 s at 12:00:00.3 it
// is 700 ms, and at 12:00:00 a whole second.
func until(now time.Time, interval time.Duration) time.Duration {
	return now.Truncate(interval).Add(interval).Sub(now)
}

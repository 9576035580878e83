package accesslog

import (
	"sort"
	"time"
)

// latencyBounds are the upper bounds of the latency buckets in seconds. One
// more bucket holds the rest. nginx measures milliseconds, hence the first
// bound.
var latencyBounds = [...]float64{
	0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
}

const bucketCount = len(latencyBounds) + 1

func bucketOf(latency time.Duration) int {
	return sort.SearchFloat64s(latencyBounds[:], latency.Seconds())
}

// quantile estimates the latency in seconds below which the part q (0 to 1) of
// the counts lies; it interpolates linearly within a bucket. It is 0 without
// counts, and the last bound for a latency above it.
//
//	10 counts up to 0.001 and 10 up to 0.0025: q 0.5 is 0.001, 0.75 is 0.00175
func quantile(counts *[bucketCount]uint32, q float64) float64 {
	total := 0.0
	for _, n := range counts {
		total += float64(n)
	}
	below, lower := 0.0, 0.0
	for i, bound := range latencyBounds {
		n := float64(counts[i])
		if n > 0 && below+n >= q*total {
			return lower + (bound-lower)*(q*total-below)/n
		}
		below, lower = below+n, bound
	}
	if total == 0 {
		return 0
	}
	return lower
}

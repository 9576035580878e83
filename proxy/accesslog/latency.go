package accesslog

import (
	"sort"
	"time"
)

// bounds are the upper ends, in seconds, of the latency buckets; one more
// takes the rest. nginx measures in milliseconds, hence the first.
var bounds = [...]float64{
	0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
}

const bucketCount = len(bounds) + 1

func bucketOf(latency time.Duration) int {
	return sort.SearchFloat64s(bounds[:], latency.Seconds())
}

// histogram counts since the agent started; it is what Prometheus scrapes.
type histogram struct {
	buckets [bucketCount]uint64
	sum     float64 // seconds
}

func (h *histogram) observe(latency time.Duration) {
	h.buckets[bucketOf(latency)]++
	h.sum += latency.Seconds()
}

// cumulative gives the counts as Prometheus has them: of all latencies up to
// each bound, and of all.
func (h *histogram) cumulative() (map[float64]uint64, uint64) {
	counts := make(map[float64]uint64, len(bounds))
	total := uint64(0)
	for i, bound := range bounds {
		total += h.buckets[i]
		counts[bound] = total
	}
	return counts, total + h.buckets[len(bounds)]
}

// quantile estimates the latency, in seconds, below which the part q (0..1)
// of the counts lies, by a straight line within a bucket. 0 without counts;
// the last bound where the rest begins.
//
//	10 counts up to 0.001 and 10 up to 0.0025: q 0.5 is 0.001, 0.75 is 0.00175
func quantile(counts *[bucketCount]uint32, q float64) float64 {
	total := 0.0
	for _, n := range counts {
		total += float64(n)
	}
	below, lower := 0.0, 0.0
	for i, bound := range bounds {
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

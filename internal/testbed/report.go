package testbed

import (
	"math"
	"slices"
	"time"
)

// Report is the result of a Load. It keeps each latency: 8 bytes per request.
type Report struct {
	Sent        int            // requests, answered or not
	Backends    map[string]int // complete answers by BackendHeader
	Statuses    map[int]int    // complete answers by status
	Errors      map[string]int // requests without a complete answer, by error text
	Connections int            // opened; more than Load.Connections when some have ended
	Elapsed     time.Duration

	latencies []time.Duration // of complete answers, sorted by merge
}

func newReport() *Report {
	return &Report{Backends: map[string]int{}, Statuses: map[int]int{}, Errors: map[string]int{}}
}

func (r *Report) add(answer Answer) {
	r.Sent++
	if answer.Err != nil {
		r.Errors[answer.Err.Error()]++
		return
	}
	r.Backends[answer.Backend]++
	r.Statuses[answer.Status]++
	r.latencies = append(r.latencies, answer.Latency)
}

func merge(reports []*Report, elapsed time.Duration) *Report {
	all := newReport()
	all.Elapsed = elapsed
	for _, r := range reports {
		all.Sent += r.Sent
		all.Connections += r.Connections
		addCounts(all.Backends, r.Backends)
		addCounts(all.Statuses, r.Statuses)
		addCounts(all.Errors, r.Errors)
		all.latencies = append(all.latencies, r.latencies...)
	}
	slices.Sort(all.latencies)
	return all
}

func addCounts[K comparable](to, from map[K]int) {
	for key, count := range from {
		to[key] += count
	}
}

// Lost is the number of requests without a complete answer.
func (r *Report) Lost() int {
	lost := 0
	for _, count := range r.Errors {
		lost += count
	}
	return lost
}

// Rate is requests per second.
func (r *Report) Rate() float64 { return float64(r.Sent) / r.Elapsed.Seconds() }

// Quantile is the latency that the given part of the complete answers (0 to 1) did not
// exceed; 0 without answers. Quantile(1) is the slowest.
func (r *Report) Quantile(part float64) time.Duration {
	if len(r.latencies) == 0 {
		return 0
	}
	rank := int(math.Ceil(part*float64(len(r.latencies)))) - 1
	return r.latencies[min(max(rank, 0), len(r.latencies)-1)]
}

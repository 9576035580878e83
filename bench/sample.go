package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// quantile is the smallest value that the given part of the values (0 to 1) does
// not exceed. It is the zero value when there are no values.
func quantile[T cmp.Ordered](values []T, part float64) T {
	if len(values) == 0 {
		return *new(T)
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := int(math.Ceil(part*float64(len(sorted)))) - 1
	return sorted[min(max(rank, 0), len(sorted)-1)]
}

func median[T cmp.Ordered](values []T) T { return quantile(values, 0.5) }

// medianAndRange prints the median and the range of the values, as in "1.05 (1.02-1.09)".
// For a single value it prints only that.
func medianAndRange(values []float64) string {
	if len(values) == 1 {
		return fmt.Sprintf("%.2f", values[0])
	}
	return fmt.Sprintf("%.2f (%.2f-%.2f)", median(values), slices.Min(values), slices.Max(values))
}

// ratios gives the ratio of each round: what disturbs a round disturbs both values.
func ratios(of, to []float64) []float64 {
	all := make([]float64, len(of))
	for i := range of {
		all[i] = of[i] / to[i]
	}
	return all
}

func microseconds(d time.Duration) string {
	return fmt.Sprintf("%.0f µs", float64(d)/float64(time.Microsecond))
}

// milliseconds prints one decimal below 10 ms: "1.2 ms", "12 ms".
func milliseconds(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	if ms < 10 {
		return fmt.Sprintf("%.1f ms", ms)
	}
	return fmt.Sprintf("%.0f ms", ms)
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

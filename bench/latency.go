package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// turn is the time between two requests. With four ways to the backend, each gets 250 a
// second: no request waits for another one, and all ways see the same disturbances.
const turn = time.Millisecond

// measureLatency asks each candidate in turns, at a fixed rate, over one connection each.
func measureLatency(ctx context.Context, h *harness) error {
	comparison, err := h.startComparison(ctx)
	if err != nil {
		return err
	}
	defer comparison.stop()
	ways := []*candidate{{name: "the backend itself", port: comparison.direct, host: hostOf(0)}}
	for _, c := range comparison.candidates {
		if slices.Contains([]string{handwritten, ours50, haproxy50}, c.name) {
			ways = append(ways, c)
		}
	}
	requests := 1500 // of each in a round: 15 of them are above p99
	if h.short {
		requests = 200
	}
	p50, p99 := make([][]time.Duration, len(ways)), make([][]time.Duration, len(ways))
	for range h.rounds {
		times, err := inTurns(ctx, ways, requests)
		if err != nil {
			return err
		}
		for i := range ways {
			p50[i], p99[i] = append(p50[i], median(times[i])), append(p99[i], quantile(times[i], 0.99))
		}
	}
	return h.printLatency(ways, p50, p99)
}

// inTurns gives the times of the requests by each way.
func inTurns(ctx context.Context, ways []*candidate, requests int) ([][]time.Duration, error) {
	times, clients := make([][]time.Duration, len(ways)), make([]client, len(ways))
	for i, way := range ways {
		clients[i] = client{port: way.port, host: way.host}
		defer clients[i].close()
		if _, err := clients[i].side(); err != nil { // connects
			return nil, fmt.Errorf("%s: %w", way.name, err)
		}
	}
	tick := time.NewTicker(turn)
	defer tick.Stop()
	for range requests {
		for i, way := range ways {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			begun := time.Now()
			if _, err := clients[i].side(); err != nil {
				return nil, fmt.Errorf("%s: %w", way.name, err)
			}
			times[i] = append(times[i], time.Since(begun))
		}
	}
	return times, nil
}

// printLatency prints the medians of the rounds. What a way adds is compared within a round.
func (h *harness) printLatency(ways []*candidate, p50, p99 [][]time.Duration) error {
	rows := [][]string{{"", "p50", "p99", "p50 added", "p99 added"}}
	for i, way := range ways {
		rows = append(rows, []string{way.name, microseconds(median(p50[i])), microseconds(median(p99[i])),
			addedTime(p50[i], p50[0]), addedTime(p99[i], p99[0])})
	}
	return h.table(rows)
}

// addedTime prints the median and the range of the differences, as in "86 µs (80-95)".
func addedTime(times, direct []time.Duration) string {
	differences := make([]time.Duration, len(times))
	for i := range times {
		differences[i] = times[i] - direct[i]
	}
	return fmt.Sprintf("%s (%d-%d)", microseconds(median(differences)), slices.Min(differences).Microseconds(), slices.Max(differences).Microseconds())
}

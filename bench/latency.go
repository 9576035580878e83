package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// measureLatency loads each candidate over four connections, so that no request
// waits for a busy proxy.
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
	duration := 3 * time.Second
	if h.short {
		duration = time.Second
	}
	p50, p99 := make([][]time.Duration, len(ways)), make([][]time.Duration, len(ways))
	for range h.rounds {
		for i, way := range ways {
			result, err := h.runWrk(ctx, wrkRun{port: way.port, host: way.host, connections: 4, duration: duration})
			if err != nil {
				return fmt.Errorf("%s: %w", way.name, err)
			}
			p50[i], p99[i] = append(p50[i], result.p50), append(p99[i], result.p99)
		}
	}
	return h.printLatency(ways, p50, p99)
}

func (h *harness) printLatency(ways []*candidate, p50, p99 [][]time.Duration) error {
	rows := [][]string{{"", "p50", "p99", "p50 added", "p99 added"}}
	for i, way := range ways {
		rows = append(rows, []string{way.name, microseconds(median(p50[i])), microseconds(median(p99[i])),
			microseconds(median(p50[i]) - median(p50[0])), microseconds(median(p99[i]) - median(p99[0]))})
	}
	return h.table(rows)
}

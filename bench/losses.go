package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// measureLosses posts over 16 keep-alive connections, as fast as answers
// come, while the config changes. Nothing is sent twice.
func measureLosses(ctx context.Context, b *bed) error {
	to, err := b.startBackends(ctx, anywhere)
	if err != nil {
		return err
	}
	defer to.stop()
	weights, structures := 500, 20
	if b.short {
		weights, structures = 50, 3
	}
	rows := [][]string{{"", "changes", "POST requests", "lost", "not 200", "new workers"}}
	for _, kind := range []struct {
		name   string
		change func(services, int) services
		every  time.Duration
		times  int
	}{
		{"weight", withShare, 20 * time.Millisecond, weights},
		{"structure", withTimeout, betweenReloads, structures},
	} {
		cells, err := b.losses(ctx, services{count: 1, backends: to}, kind.times, kind.every, kind.change)
		if err != nil {
			return fmt.Errorf("%s: %w", kind.name, err)
		}
		rows = append(rows, append([]string{kind.name}, cells...))
	}
	return b.table(rows)
}

func withShare(s services, n int) services {
	s.shares = map[int]string{0: fmt.Sprintf("%d.%02d", n%100, n%97)}
	return s
}

func withTimeout(s services, n int) services {
	s.timeout = fmt.Sprintf("%ds", 20+n%2)
	return s
}

func (b *bed) losses(ctx context.Context, config services, times int, every time.Duration, change func(services, int) services) ([]string, error) {
	p, err := b.startPlane(ctx, config.yaml(), anywhere)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	before, err := p.workers()
	if err != nil {
		return nil, err
	}
	loading, end := context.WithCancel(ctx)
	defer end()
	type result struct {
		*testbed.Report
		err error
	}
	done := make(chan result, 1)
	go func() {
		report, err := testbed.Load{
			URL: "http://" + loopback(p.port) + "/", Host: hostOf(0), Method: http.MethodPost, Body: "payment", Connections: 16,
		}.Run(loading)
		done <- result{report, err}
	}()
	seen := map[int]bool{}
	for n := range times {
		if err := p.apply(ctx, change(config, n+1).yaml(), every); err != nil {
			return nil, err
		}
		workers, err := p.workers()
		if err != nil {
			return nil, err
		}
		for _, pid := range workers {
			seen[pid] = seen[pid] || !slices.Contains(before, pid)
		}
	}
	end()
	load := <-done
	if load.err != nil {
		return nil, load.err
	}
	for text, count := range load.Errors {
		b.printf("lost %d: %s\n", count, text)
	}
	return []string{fmt.Sprint(times), fmt.Sprint(load.Sent), fmt.Sprint(load.Lost()),
		fmt.Sprint(load.Sent - load.Lost() - load.Statuses[http.StatusOK]), fmt.Sprint(fresh(seen))}, nil
}

// apply makes a change, waits until it is in force, and a little more.
func (p *plane) apply(ctx context.Context, config string, every time.Duration) error {
	if err := p.replace(config); err != nil {
		return err
	}
	if _, err := p.await(ctx, configInForce); err != nil {
		return err
	}
	return pause(ctx, every)
}

func fresh(seen map[int]bool) int {
	count := 0
	for _, isNew := range seen {
		if isNew {
			count++
		}
	}
	return count
}

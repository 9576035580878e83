package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// measureLosses sends POSTs over 16 keep-alive connections, as fast as answers
// come, while the config changes. No request is repeated.
func measureLosses(ctx context.Context, h *harness) error {
	to, err := h.startBackends(ctx, anyCPU)
	if err != nil {
		return err
	}
	defer to.stop()
	weights, structures := 500, 20
	if h.short {
		weights, structures = 50, 3
	}
	rows := [][]string{{"", "changes", "POST requests", "lost", "not 200", "new workers"}}
	for _, series := range []series{
		{"weight", weights, 20 * time.Millisecond, withShare},
		{"structure", structures, betweenReloads, withTimeout},
	} {
		cells, err := h.losses(ctx, services{count: 1, backends: to}, series)
		if err != nil {
			return errors.Join(h.table(rows), fmt.Errorf("%s: %w", series.name, err))
		}
		rows = append(rows, append([]string{series.name}, cells...))
	}
	return h.table(rows)
}

// series is a number of config changes, one after another.
type series struct {
	name   string
	count  int
	every  time.Duration
	change func(s services, n int) services // the n-th change
}

func withShare(s services, n int) services {
	s.shares = map[int]string{0: fmt.Sprintf("%d.%02d", n%100, n%97)}
	return s
}

func withTimeout(s services, n int) services {
	s.timeout = fmt.Sprintf("%ds", 20+n%2)
	return s
}

func (h *harness) losses(ctx context.Context, config services, series series) ([]string, error) {
	p, err := h.startProxy(ctx, config.yaml(), anyCPU)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	loading, end := context.WithCancel(ctx)
	defer end()
	load := testbed.Load{
		URL: "http://" + loopback(p.port) + "/", Host: hostOf(0), Method: http.MethodPost, Body: "payment", Connections: 16,
	}
	ended := errgroup.Group{}
	var report *testbed.Report
	ended.Go(func() (err error) {
		report, err = load.Run(loading)
		return err
	})
	workers, err := p.workersDuring(ctx, config, series)
	end()
	if err := errors.Join(err, ended.Wait()); err != nil {
		return nil, err
	}
	for text, count := range report.Errors {
		h.printf("lost %d: %s\n", count, text)
	}
	return []string{fmt.Sprint(series.count), fmt.Sprint(report.Sent), fmt.Sprint(report.Lost()),
		fmt.Sprint(report.Sent - report.Lost() - report.Statuses[http.StatusOK]), fmt.Sprint(workers)}, nil
}

// workersDuring makes the changes and gives the number of workers that nginx
// started meanwhile.
func (p *proxyProcess) workersDuring(ctx context.Context, config services, series series) (int, error) {
	before, err := p.workers()
	if err != nil {
		return 0, err
	}
	started := map[int]bool{}
	for n := range series.count {
		if err := p.apply(ctx, series.change(config, n+1).yaml(), series.every); err != nil {
			return 0, err
		}
		workers, err := p.workers()
		if err != nil {
			return 0, err
		}
		for _, worker := range workers {
			started[worker.PID] = true
		}
	}
	for _, worker := range before {
		delete(started, worker.PID)
	}
	return len(started), nil
}

// apply replaces the config, waits until it is in force, and then for the interval.
func (p *proxyProcess) apply(ctx context.Context, config string, interval time.Duration) error {
	if err := p.replace(config); err != nil {
		return err
	}
	if _, err := p.waitFor(ctx, configInForce); err != nil {
		return err
	}
	return pause(ctx, interval)
}

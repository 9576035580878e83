package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// measureWeight changes one service's percentage from 0 to 100 and back, by a
// rename of the config file, and measures the time until requests follow it.
func measureWeight(ctx context.Context, h *harness) error {
	to, err := h.startBackends(ctx, anyCPU)
	if err != nil {
		return err
	}
	defer to.stop()
	rows := [][]string{{"services", "changes", "p50", "p99", "until read and checked (p50)", "then, until served (p50)"}}
	for _, count := range h.sizes() {
		times, err := h.weightChanges(ctx, count, to)
		if err != nil {
			return errors.Join(h.table(rows), fmt.Errorf("%d services: %w", count, err))
		}
		rows = append(rows, append([]string{fmt.Sprint(count)}, times.cells()...))
	}
	if err := h.table(rows); err != nil {
		return err
	}
	h.printf("\naim: p99 below 100 ms, whatever the number\n")
	return nil
}

// weightTimes are the times of all changes: served and loaded count from the
// rename, applied from loaded to served.
type weightTimes struct{ served, loaded, applied []time.Duration }

func (w *weightTimes) cells() []string {
	return []string{fmt.Sprint(len(w.served)),
		milliseconds(median(w.served)), milliseconds(quantile(w.served, 0.99)),
		milliseconds(median(w.loaded)), milliseconds(median(w.applied))}
}

func (h *harness) weightChanges(ctx context.Context, count int, to backends) (*weightTimes, error) {
	config := services{count: count, backends: to, shares: map[int]string{0: "0"}}
	zero := config.yaml()
	config.shares = map[int]string{0: "100"}
	full := config.yaml()
	p, err := h.startProxy(ctx, zero, anyCPU)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	client := &client{port: p.port, host: hostOf(0)}
	defer client.close()
	if _, err := client.waitFor(ctx, "old"); err != nil {
		return nil, err
	}
	changes, times := 50, &weightTimes{}
	if h.short {
		changes = 10
	}
	for range changes {
		for _, to := range []target{{full, "new"}, {zero, "old"}} {
			if err := times.change(ctx, p, client, to); err != nil {
				return nil, err
			}
		}
	}
	return times, nil
}

// target is a config, and the side that answers once it is in force.
type target struct{ config, side string }

// change makes one change and waits until the proxy is done with it.
func (w *weightTimes) change(ctx context.Context, p *proxyProcess, client *client, to target) error {
	begun := time.Now()
	if err := p.replace(to.config); err != nil {
		return err
	}
	served, err := client.waitFor(ctx, to.side)
	if err != nil {
		return err
	}
	loaded, err := p.waitFor(ctx, configRead)
	if err != nil {
		return err
	}
	if _, err := p.waitFor(ctx, configInForce); err != nil {
		return err
	}
	w.served = append(w.served, served.Sub(begun))
	w.loaded = append(w.loaded, loaded.Sub(begun))
	w.applied = append(w.applied, served.Sub(loaded))
	return pause(ctx, 10*time.Millisecond)
}

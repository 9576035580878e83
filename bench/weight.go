package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// measureWeight moves one service's share from 0 to 100 and back, by a rename
// of the config file, and asks until it is so.
func measureWeight(ctx context.Context, b *bed) error {
	to, err := b.startBackends(ctx, anywhere)
	if err != nil {
		return err
	}
	defer to.stop()
	rows := [][]string{{"services", "changes", "p50", "p99", "slowest", "file seen, read and checked (p50)", "put in force (p50)", "all quiet again (p50)"}}
	for _, count := range b.sizes() {
		times, err := b.weightChanges(ctx, count, to)
		if err != nil {
			return errors.Join(b.table(rows), fmt.Errorf("%d services: %w", count, err))
		}
		rows = append(rows, append([]string{fmt.Sprint(count)}, times.cells()...))
	}
	if err := b.table(rows); err != nil {
		return err
	}
	b.printf("\naim: p99 below 100 ms, whatever the number\n")
	return nil
}

// weightTimes are counted from the rename, but for applied, which is the part
// after loaded.
type weightTimes struct{ served, loaded, applied, quiet []time.Duration }

func (w *weightTimes) cells() []string {
	return []string{fmt.Sprint(len(w.served)),
		milliseconds(median(w.served)), milliseconds(quantile(w.served, 0.99)), milliseconds(quantile(w.served, 1)),
		milliseconds(median(w.loaded)), milliseconds(median(w.applied)), milliseconds(median(w.quiet))}
}

func (b *bed) weightChanges(ctx context.Context, count int, to backends) (*weightTimes, error) {
	config := services{count: count, backends: to, shares: map[int]string{0: "0"}}
	zero := config.yaml()
	config.shares = map[int]string{0: "100"}
	full := config.yaml()
	p, err := b.startPlane(ctx, zero, anywhere)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	client := &asker{port: p.port, host: hostOf(0)}
	defer client.close()
	if _, err := client.await(ctx, "old"); err != nil {
		return nil, err
	}
	changes, times := 50, &weightTimes{}
	if b.short {
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

// target is a config, and who answers once it is in force.
type target struct{ config, side string }

// change makes one and waits until the proxy has nothing more to do.
func (w *weightTimes) change(ctx context.Context, p *plane, client *asker, to target) error {
	begun := time.Now()
	if err := p.replace(to.config); err != nil {
		return err
	}
	served, err := client.await(ctx, to.side)
	if err != nil {
		return err
	}
	loaded, err := p.await(ctx, configRead)
	if err != nil {
		return err
	}
	quiet, err := p.await(ctx, configInForce)
	if err != nil {
		return err
	}
	w.served = append(w.served, served.Sub(begun))
	w.loaded = append(w.loaded, loaded.Sub(begun))
	w.applied = append(w.applied, served.Sub(loaded))
	w.quiet = append(w.quiet, quiet.Sub(begun))
	return pause(ctx, 10*time.Millisecond)
}

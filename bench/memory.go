package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// measureMemory reads the memory of the processes after a start and one reload.
func measureMemory(ctx context.Context, h *harness) error {
	to, err := h.startBackends(ctx, anyCPU)
	if err != nil {
		return err
	}
	defer to.stop()
	rows := [][]string{{"services", "agent RSS", "nginx master RSS", "one worker RSS", "all PSS"}}
	for _, count := range h.sizes() {
		cells, err := h.memory(ctx, services{count: count, backends: to})
		if err != nil {
			return errors.Join(h.table(rows), fmt.Errorf("%d services: %w", count, err))
		}
		rows = append(rows, append([]string{fmt.Sprint(count)}, cells...))
	}
	return h.table(rows)
}

func (h *harness) memory(ctx context.Context, config services) ([]string, error) {
	p, err := h.startProxy(ctx, config.yaml(), anyCPU)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	config.timeout = "20s"
	if err := p.replace(config.yaml()); err != nil {
		return nil, err
	}
	if _, err := p.waitFor(ctx, configInForce); err != nil {
		return nil, err
	}
	var worker int
	err = poll(ctx, 30*time.Second, func() (err error) { // the old worker has to end first
		worker, err = p.worker()
		return err
	})
	if err != nil {
		return nil, err
	}
	master, err := p.master()
	if err != nil {
		return nil, err
	}
	var sizes [3]memoryUse
	var all int64
	for i, pid := range []int{p.pid(), master, worker} {
		if sizes[i], err = memoryOf(pid); err != nil {
			return nil, err
		}
		all += sizes[i].pss
	}
	return []string{megabytes(sizes[0].rss), megabytes(sizes[1].rss), megabytes(sizes[2].rss), megabytes(all)}, nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// measureStructure changes a timeout, for which nginx has to reload.
func measureStructure(ctx context.Context, h *harness) error {
	to, err := h.startBackends(ctx, anyCPU)
	if err != nil {
		return err
	}
	defer to.stop()
	ca, err := h.writeCA()
	if err != nil {
		return err
	}
	rows := [][]string{{"new is", "services", "in force", "load", "generate", "nginx -t of all", "its CPU time", "nginx.conf"}}
	for _, count := range h.sizes() {
		for _, kind := range []struct {
			name string
			services
		}{
			{"http", services{}},
			{"https, own CA file", services{https: true, caFile: ca}},
		} {
			kind.count, kind.backends = count, to
			cells, err := h.structureChanges(ctx, kind.services)
			if err != nil {
				return errors.Join(h.table(rows), fmt.Errorf("%d services, %s: %w", count, kind.name, err))
			}
			rows = append(rows, append([]string{kind.name, fmt.Sprint(count)}, cells...))
		}
	}
	if err := h.table(rows); err != nil {
		return err
	}
	h.printf("\naim: below 2 s with 2,400 services\n")
	return nil
}

func (h *harness) writeCA() (string, error) {
	dir, err := h.folder()
	if err != nil {
		return "", err
	}
	authority, err := testbed.NewAuthority()
	if err != nil {
		return "", err
	}
	return authority.WriteCA(dir)
}

// betweenReloads is a little more than the agent's minimum time between two reloads.
const betweenReloads = 1100 * time.Millisecond

func (h *harness) structureChanges(ctx context.Context, config services) ([]string, error) {
	p, err := h.startProxy(ctx, config.yaml(), anyCPU)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	var times []time.Duration
	for change := range 2 {
		config.timeout = fmt.Sprintf("%ds", 20+change)
		if err := pause(ctx, betweenReloads); err != nil {
			return nil, err
		}
		begun := time.Now()
		if err := p.replace(config.yaml()); err != nil {
			return nil, err
		}
		ended, err := p.waitFor(ctx, configInForce)
		if err != nil {
			return nil, err
		}
		times = append(times, ended.Sub(begun))
	}
	steps, err := h.steps(ctx, p, config)
	if err != nil {
		return nil, err
	}
	return append([]string{milliseconds(median(times))}, steps...), nil
}

// steps measures the steps of a change one by one: load and generate in this
// process, and nginx -t of all services, which takes what a reload takes to read them.
func (h *harness) steps(ctx context.Context, p *proxyProcess, config services) ([]string, error) {
	var loads, generates, tests, cpus []time.Duration
	for range 3 {
		load, generate, err := timeGeneration([]byte(config.yaml()))
		if err != nil {
			return nil, err
		}
		test, cpu, err := h.testConfig(ctx, p)
		if err != nil {
			return nil, err
		}
		loads, generates = append(loads, load), append(generates, generate)
		tests, cpus = append(tests, test), append(cpus, cpu)
	}
	info, err := os.Stat(p.conf())
	if err != nil {
		return nil, err
	}
	return []string{milliseconds(median(loads)), milliseconds(median(generates)), milliseconds(median(tests)), milliseconds(median(cpus)), megabytes(info.Size())}, nil
}

// testConfig runs nginx -t with the config in force and gives its duration and CPU time.
func (h *harness) testConfig(ctx context.Context, p *proxyProcess) (wall, cpu time.Duration, err error) {
	conf, err := filepath.EvalSymlinks(p.conf())
	if err != nil {
		return 0, 0, err
	}
	cmd := exec.CommandContext(ctx, h.nginx, "-t", "-p", p.runtimeDir(), "-c", conf, "-e", "stderr")
	begun := time.Now()
	if output, err := cmd.CombinedOutput(); err != nil {
		return 0, 0, fmt.Errorf("nginx -t: %w: %s", err, output)
	}
	return time.Since(begun), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}

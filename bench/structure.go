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

// measureStructure changes a timeout, which stands in nginx's config.
func measureStructure(ctx context.Context, b *bed) error {
	to, err := b.startBackends(ctx, anywhere)
	if err != nil {
		return err
	}
	defer to.stop()
	ca, err := b.writeCA()
	if err != nil {
		return err
	}
	rows := [][]string{{"new is", "services", "in force", "of it: load", "digest", "generate", "nginx -t", "config text"}}
	for _, count := range b.sizes() {
		for _, kind := range []struct {
			name string
			services
		}{
			{"http", services{}},
			{"https, own CA file", services{https: true, caFile: ca}},
			{"https, system's roots", services{https: true}},
		} {
			kind.count, kind.backends = count, to
			cells, err := b.structureChanges(ctx, kind.services)
			if err != nil {
				return errors.Join(b.table(rows), fmt.Errorf("%d services, %s: %w", count, kind.name, err))
			}
			rows = append(rows, append([]string{kind.name, fmt.Sprint(count)}, cells...))
		}
	}
	if err := b.table(rows); err != nil {
		return err
	}
	b.printf("\naim: below 1 s with 1,000 services. nginx before 1.27.4 needs 500 ms more, in which clients hear that they should reconnect\n")
	return nil
}

func (b *bed) writeCA() (string, error) {
	dir, err := b.folder()
	if err != nil {
		return "", err
	}
	authority, err := testbed.NewAuthority()
	if err != nil {
		return "", err
	}
	return authority.WriteCA(dir)
}

// betweenReloads is a little more than the agent waits between two.
const betweenReloads = 1100 * time.Millisecond

func (b *bed) structureChanges(ctx context.Context, config services) ([]string, error) {
	p, err := b.startPlane(ctx, config.yaml(), anywhere)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	var times []time.Duration
	for change := range 5 {
		config.timeout = fmt.Sprintf("%ds", 20+change)
		if err := pause(ctx, betweenReloads); err != nil {
			return nil, err
		}
		begun := time.Now()
		if err := p.replace(config.yaml()); err != nil {
			return nil, err
		}
		ended, err := p.await(ctx, configInForce)
		if err != nil {
			return nil, err
		}
		times = append(times, ended.Sub(begun))
	}
	steps, err := b.steps(ctx, p, config)
	if err != nil {
		return nil, err
	}
	return append([]string{milliseconds(median(times))}, steps...), nil
}

// steps times the parts of a change one by one, in this process, and nginx -t.
func (b *bed) steps(ctx context.Context, p *plane, config services) ([]string, error) {
	var all [3][]time.Duration
	var tests []time.Duration
	for range 3 {
		room, err := timeRooms([]byte(config.yaml()))
		if err != nil {
			return nil, err
		}
		for i := range all {
			all[i] = append(all[i], room[i])
		}
		took, err := b.testConfig(ctx, p)
		if err != nil {
			return nil, err
		}
		tests = append(tests, took)
	}
	info, err := os.Stat(p.conf())
	if err != nil {
		return nil, err
	}
	return []string{milliseconds(median(all[0])), milliseconds(median(all[1])), milliseconds(median(all[2])),
		milliseconds(median(tests)), megabytes(info.Size())}, nil
}

// testConfig is nginx -t with the config in force.
func (b *bed) testConfig(ctx context.Context, p *plane) (time.Duration, error) {
	conf, err := filepath.EvalSymlinks(p.conf())
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	output, err := exec.CommandContext(ctx, b.nginx, "-t", "-p", p.runtimeDir(), "-c", conf, "-e", "stderr").CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("nginx -t: %w: %s", err, output)
	}
	return time.Since(begun), nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// contestant is one way to serve the requests, with the process whose time is
// counted.
type contestant struct {
	name string
	port int
	host string
	// The config that the worker runs with, its directory, and the second
	// port that it listens on or 0; of nginx only.
	conf, dir string
	portNew   int
	worker    int          // process id
	agent     int          // process id of the one beside nginx, or 0
	tidy      func() error // between two rounds
	// Microseconds of CPU time per request, one per round.
	cost, agentCost []float64
	rate            []float64
}

const (
	handwritten = "hand-written nginx, one backend"
	ours50      = "ours, 50 %, dice"
	haproxy50   = "HAProxy, 50 %, the same rules"
)

// measureCPU lets the contestants answer in turns.
func measureCPU(ctx context.Context, b *bed) error {
	world, err := b.startWorld(ctx)
	if err != nil {
		return err
	}
	defer world.stop()
	duration := 3 * time.Second
	if b.short {
		duration = time.Second
	}
	for round := range b.rounds + 1 {
		for _, c := range world.contestants {
			if err := b.bout(ctx, c, duration, round > 0); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	return b.printCPU(world.contestants)
}

// bout is one contestant's turn; the first one of each only warms up.
func (b *bed) bout(ctx context.Context, c *contestant, duration time.Duration, counts bool) error {
	before, err := c.time()
	if err != nil {
		return err
	}
	result, err := b.fire(ctx, barrage{port: c.port, host: c.host, connections: 32, duration: duration})
	if err != nil {
		return err
	}
	// The last lines of the log reach the agent 100 ms later.
	if err := pause(ctx, 300*time.Millisecond); err != nil {
		return err
	}
	after, err := c.time()
	if err != nil {
		return err
	}
	if counts {
		each := 1000 * float64(result.requests) // nanoseconds to microseconds per request
		c.cost = append(c.cost, float64(after[0]-before[0])/each)
		c.agentCost = append(c.agentCost, float64(after[1]-before[1])/each)
		c.rate = append(c.rate, float64(result.requests)/result.elapsed.Seconds())
	}
	return c.tidy()
}

// time is the CPU time of the worker and of the agent.
func (c *contestant) time() (both [2]time.Duration, err error) {
	if both[0], err = cpuTime(c.worker); err != nil || c.agent == 0 {
		return both, err
	}
	both[1], err = cpuTime(c.agent)
	return both, err
}

func (b *bed) printCPU(all []*contestant) error {
	byName := map[string]*contestant{}
	rows := [][]string{{"", "µs/request", "agent besides", "requests/s", "to hand-written", "to HAProxy"}}
	for _, c := range all {
		byName[c.name] = c
	}
	a, h := byName[handwritten], byName[haproxy50]
	for _, c := range all {
		agent := "-"
		if c.agent != 0 {
			agent = fmt.Sprintf("%.2f", median(c.agentCost))
		}
		rows = append(rows, []string{c.name, fmt.Sprintf("%.1f", median(c.cost)), agent, fmt.Sprintf("%.0f", median(c.rate)),
			spread(ratios(c.cost, a.cost)), spread(ratios(c.cost, h.cost))})
	}
	if err := b.table(rows); err != nil {
		return err
	}
	ours := byName[ours50]
	whole := make([]float64, len(ours.cost))
	for i := range whole {
		whole[i] = ours.cost[i] + ours.agentCost[i]
	}
	b.printf("\nours to hand-written: %s, aim 1.15 at most\n", spread(ratios(ours.cost, a.cost)))
	b.printf("with the agent to without: %s, aim 1.10 at most\n", spread(ratios(whole, ours.cost)))
	b.printf("ours to HAProxy: %s, aim 1.0 at most\n", spread(ratios(ours.cost, h.cost)))
	return nil
}

// world is everybody who takes part in a comparison, running.
type world struct {
	contestants []*contestant
	direct      int // port of a backend
	stops       []func()
}

func (w *world) stop() {
	for i := range w.stops {
		w.stops[len(w.stops)-1-i]()
	}
}

// startWorld starts backends and contestants; on an error nothing is left.
func (b *bed) startWorld(ctx context.Context) (w *world, err error) {
	w = &world{}
	defer func() {
		if err != nil {
			w.stop()
		}
	}()
	to, err := b.startBackends(ctx, together)
	if err != nil {
		return w, err
	}
	w.stops, w.direct = append(w.stops, to.stop), to.old
	byHand, err := b.startHandwritten(ctx, to, apart)
	if err != nil {
		return w, err
	}
	w.stops = append(w.stops, byHand.stop)
	worker, err := byHand.worker()
	if err != nil {
		return w, err
	}
	w.add(&contestant{name: handwritten, port: byHand.port, worker: worker, tidy: byHand.emptyLog,
		conf: filepath.Join(byHand.dir, "nginx.conf"), dir: byHand.dir})
	if err := b.addOurs(ctx, w, to); err != nil {
		return w, err
	}
	rival, err := b.startHAProxy(ctx, to, apart)
	if err != nil {
		return w, err
	}
	w.stops = append(w.stops, rival.stop)
	w.add(&contestant{name: haproxy50, port: rival.port, worker: rival.pid(), tidy: rival.emptyLog})
	return w, nil
}

func (w *world) add(c *contestant) {
	if c.host == "" {
		c.host = hostOf(0)
	}
	w.contestants = append(w.contestants, c)
}

// addOurs adds one nginx of ours under several names: a service for each.
func (b *bed) addOurs(ctx context.Context, w *world, to backends) error {
	config := services{count: 4, backends: to, shares: map[int]string{1: "0", 2: "100"}, hashed: map[int]bool{3: true}}
	p, err := b.startPlane(ctx, config.yaml(), together)
	if err != nil {
		return err
	}
	w.stops = append(w.stops, p.stop)
	worker, err := p.worker()
	if err = errors.Join(err, apart.pin(worker)); err != nil {
		return err
	}
	nothing := func() error { return nil } // the agent rotates its log
	for n, name := range []string{ours50, "ours, 0 %", "ours, 100 %", "ours, 50 %, user_hash"} {
		w.add(&contestant{name: name, port: p.port, host: hostOf(n), worker: worker, agent: p.pid(), tidy: nothing,
			conf: p.conf(), dir: p.runtimeDir(), portNew: p.portNew})
	}
	return nil
}

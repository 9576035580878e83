package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// candidate is one of the proxies that are compared, with the process whose CPU
// time is counted.
type candidate struct {
	name string
	port int
	host string
	// nginx only: the config, its directory, and the second port or 0.
	conf, dir string
	portNew   int
	// ours only: the config for a proxy behind an ingress controller.
	behind  string
	worker  int          // process id
	agent   int          // process id of our agent, or 0
	cleanUp func() error // runs between two rounds
	// Microseconds of CPU time per request, one value per round.
	cost, agentCost []float64
}

const (
	handwritten      = "hand-written nginx, one backend"
	handwrittenSplit = "hand-written nginx, the same split"
	ours50           = "ours, 50 %, dice"
	haproxy50        = "HAProxy, 50 %, the same rules"
)

// measureCPU loads the candidates in turns.
func measureCPU(ctx context.Context, h *harness) error {
	comparison, err := h.startComparison(ctx)
	if err != nil {
		return err
	}
	defer comparison.stop()
	duration := 3 * time.Second
	if h.short {
		duration = time.Second
	}
	for round := range h.rounds + 1 {
		for _, c := range comparison.candidates {
			if err := h.measureOnce(ctx, c, duration, round > 0); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	return h.printCPU(comparison.candidates)
}

// measureOnce loads one candidate. The first round only warms up and is not
// recorded.
func (h *harness) measureOnce(ctx context.Context, c *candidate, duration time.Duration, record bool) error {
	before, err := c.time()
	if err != nil {
		return err
	}
	requests, err := h.runWrk(ctx, wrkRun{port: c.port, host: c.host, connections: 32, duration: duration})
	if err != nil {
		return err
	}
	// The last log lines reach the agent up to 100 ms later.
	if err := pause(ctx, 300*time.Millisecond); err != nil {
		return err
	}
	after, err := c.time()
	if err != nil {
		return err
	}
	if record {
		each := 1000 * float64(requests) // nanoseconds to microseconds per request
		c.cost = append(c.cost, float64(after[0]-before[0])/each)
		c.agentCost = append(c.agentCost, float64(after[1]-before[1])/each)
	}
	return c.cleanUp()
}

// time is the CPU time that the worker and the agent have used.
func (c *candidate) time() (both [2]time.Duration, err error) {
	if both[0], err = cpuTime(c.worker); err != nil || c.agent == 0 {
		return both, err
	}
	both[1], err = cpuTime(c.agent)
	return both, err
}

func (h *harness) printCPU(all []*candidate) error {
	byName := map[string]*candidate{}
	rows := [][]string{{"", "µs/request", "agent", "to hand-written", "to the split", "to HAProxy"}}
	for _, c := range all {
		byName[c.name] = c
	}
	hand, split, haproxy := byName[handwritten], byName[handwrittenSplit], byName[haproxy50]
	for _, c := range all {
		agent := "-"
		if c.agent != 0 {
			agent = fmt.Sprintf("%.2f", median(c.agentCost))
		}
		rows = append(rows, []string{c.name, fmt.Sprintf("%.1f", median(c.cost)), agent, medianAndRange(ratios(c.cost, hand.cost)), medianAndRange(ratios(c.cost, split.cost)), medianAndRange(ratios(c.cost, haproxy.cost))})
	}
	if err := h.table(rows); err != nil {
		return err
	}
	ours := byName[ours50]
	whole := make([]float64, len(ours.cost))
	for i := range whole {
		whole[i] = ours.cost[i] + ours.agentCost[i]
	}
	h.printf("\nours to hand-written: %s, aim 1.20 at most\n", medianAndRange(ratios(ours.cost, hand.cost)))
	h.printf("ours to the hand-written split: %s, aim 1.05 at most\n", medianAndRange(ratios(ours.cost, split.cost)))
	h.printf("with the agent to without: %s, aim 1.10 at most\n", medianAndRange(ratios(whole, ours.cost)))
	h.printf("ours to HAProxy: %s, aim 1.0 at most\n", medianAndRange(ratios(ours.cost, haproxy.cost)))
	return nil
}

// comparison is the running candidates and their backends.
type comparison struct {
	candidates []*candidate
	direct     int // port of a backend
	stops      []func()
}

func (c *comparison) stop() {
	for i := range c.stops {
		c.stops[len(c.stops)-1-i]()
	}
}

// startComparison starts backends and candidates. On an error it stops them.
func (h *harness) startComparison(ctx context.Context) (c *comparison, err error) {
	c = &comparison{}
	defer func() {
		if err != nil {
			c.stop()
		}
	}()
	to, err := h.startBackends(ctx, otherCPUs)
	if err != nil {
		return c, err
	}
	c.stops, c.direct = append(c.stops, to.stop), to.old
	for _, byHand := range []struct{ name, conf string }{{handwritten, handwrittenConf}, {handwrittenSplit, handwrittenSplitConf}} {
		if err := h.addHandwritten(ctx, c, byHand.name, byHand.conf, to); err != nil {
			return c, err
		}
	}
	if err := h.addOurs(ctx, c, to); err != nil {
		return c, err
	}
	haproxy, err := h.startHAProxy(ctx, to, dedicatedCPU)
	if err != nil {
		return c, err
	}
	c.stops = append(c.stops, haproxy.stop)
	c.add(&candidate{name: haproxy50, port: haproxy.port, worker: haproxy.pid(), cleanUp: haproxy.truncateLog})
	return c, nil
}

func (c *comparison) add(added *candidate) {
	if added.host == "" {
		added.host = hostOf(0)
	}
	c.candidates = append(c.candidates, added)
}

// addHandwritten starts nginx with a config that is written by hand.
func (h *harness) addHandwritten(ctx context.Context, c *comparison, name, conf string, to backends) error {
	byHand, err := h.startHandwritten(ctx, conf, to, dedicatedCPU)
	if err != nil {
		return err
	}
	c.stops = append(c.stops, byHand.stop)
	worker, err := byHand.worker(ctx)
	if err != nil {
		return err
	}
	c.add(&candidate{name: name, port: byHand.port, worker: worker, cleanUp: byHand.truncateLog,
		conf: filepath.Join(byHand.dir, "nginx.conf"), dir: byHand.dir})
	return nil
}

// addOurs starts one proxy of ours and adds it as four candidates, one for each of
// its services.
func (h *harness) addOurs(ctx context.Context, c *comparison, to backends) error {
	config := services{count: 4, backends: to, shares: map[int]string{1: "0", 2: "100"}, hashed: map[int]bool{3: true}}
	p, err := h.startProxy(ctx, config.yaml(), otherCPUs)
	if err != nil {
		return err
	}
	c.stops = append(c.stops, p.stop)
	worker, err := p.worker()
	if err = errors.Join(err, dedicatedCPU.pin(worker)); err != nil {
		return err
	}
	behind, err := h.renderBehindControllers(ctx, p)
	if err != nil {
		return err
	}
	nothing := func() error { return nil } // the agent rotates the log itself
	for n, name := range []string{ours50, "ours, 0 %", "ours, 100 %", "ours, 50 %, user_hash"} {
		c.add(&candidate{name: name, port: p.port, host: hostOf(n), worker: worker, agent: p.pid(), cleanUp: nothing,
			conf: p.conf(), dir: p.runtimeDir(), portNew: p.portNew, behind: behind})
	}
	return nil
}

package health

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/migration"
)

// Options are a Checker's parts. Zero means the default.
type Options struct {
	Workers int    // probes under way at once; 32
	Roots   string // PEM file of trusted roots, the one nginx has; the system's
	// OnChange hears that a verdict has changed; Probes tells what it is now.
	// It may be called by several goroutines at once, and must be quick.
	OnChange func(Key)
}

const defaultWorkers = 32

// probe asks one address. An error that is not failed says nothing about it.
type probe func(context.Context, Spec, netip.AddrPort) error

// Checker probes any number of targets. Its methods may be called from any
// goroutine.
type Checker struct {
	options Options
	probe   probe
	wake    chan struct{}

	mu      sync.Mutex
	entries map[Key]*entry
	queue   queue // those that wait for their time, soonest first
}

// New makes a Checker without targets.
func New(options Options) *Checker {
	return newChecker(options, newProber(options.Roots).probe)
}

func newChecker(options Options, probe probe) *Checker {
	if options.Workers <= 0 {
		options.Workers = defaultWorkers
	}
	if options.OnChange == nil {
		options.OnChange = func(Key) {}
	}
	return &Checker{options: options, probe: probe, wake: make(chan struct{}, 1), entries: map[Key]*entry{}}
}

// Set replaces the targets. Results are kept where the question stays the
// same, and Unknown where it does not.
func (c *Checker) Set(targets []Target) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.entries {
		e.wanted = false
	}
	for _, target := range targets {
		c.want(target)
	}
	for _, e := range c.entries {
		c.settle(e)
	}
	c.nudge()
}

func (c *Checker) want(target Target) {
	e := c.entries[target.Key]
	if e == nil {
		e = &entry{index: notQueued, fresh: true}
		c.entries[target.Key] = e
	}
	if e.target.Spec != target.Spec {
		e.forget()
	}
	e.target, e.wanted = target, true
}

// Demand begins or ends the probing of a service's new side that is probed
// on demand. Both make what is known of it Unknown; saying the same twice does
// nothing. It is forgotten when Set takes the service away.
func (c *Checker) Demand(service migration.Name, on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[Key{service, migration.New}]
	if e == nil || !e.target.OnDemand || e.demanded == on {
		return
	}
	e.demanded = on
	e.forget()
	c.settle(e)
	c.nudge()
}

// Probes puts a service's results as its fallback wants them.
func (c *Checker) Probes(service migration.Name) fallback.Probes {
	c.mu.Lock()
	defer c.mu.Unlock()
	var probes fallback.Probes
	if e := c.entries[Key{service, migration.New}]; e != nil {
		probes.New, probes.Error = e.result.Health, e.result.LastError
	}
	if e := c.entries[Key{service, migration.Old}]; e != nil {
		probes.OldDown = e.result.Down()
	}
	return probes
}

// Run probes until ctx ends, and returns when no probe is under way. It is
// called once.
func (c *Checker) Run(ctx context.Context) {
	var workers errgroup.Group
	workers.SetLimit(c.options.Workers)
	defer func() { _ = workers.Wait() }()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		e, wait := c.take(time.Now())
		if e != nil && ctx.Err() == nil {
			workers.Go(func() error { // waits while all workers are busy
				c.work(ctx, e)
				return nil
			})
			continue
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		case <-timer.C:
		}
	}
}

// work makes one probe of an entry that take has given.
func (c *Checker) work(ctx context.Context, e *entry) {
	c.mu.Lock()
	target, generation, turn := e.target, e.generation, e.turn
	active, started := e.active(), time.Now()
	c.mu.Unlock()
	var err error
	if active {
		err = c.ask(ctx, target, turn)
	}
	c.mu.Lock()
	if err != nil {
		e.turn = turn + 1
	}
	valid := active && generation == e.generation && ctx.Err() == nil
	changed := valid && e.result.add(err, target.Check, time.Now())
	e.busy, e.due = false, started.Add(jittered(e.target.Check.Interval))
	c.settle(e)
	c.mu.Unlock()
	if changed {
		c.options.OnChange(target.Key)
	}
	c.nudge()
}

func (c *Checker) ask(ctx context.Context, target Target, turn int) error {
	addresses := target.Addresses()
	if len(addresses) == 0 {
		return &failed{fallback.FailureConnect, errors.New("the name has no address")}
	}
	ctx, cancel := context.WithTimeout(ctx, target.Check.Timeout)
	defer cancel()
	return c.probe(ctx, target.Spec, addresses[turn%len(addresses)])
}

// nudge makes Run look again.
func (c *Checker) nudge() {
	select {
	case c.wake <- struct{}{}:
	default: // it will look anyway
	}
}

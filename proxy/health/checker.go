package health

import (
	"context"
	"net/netip"
	"sync"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/migration"
)

// Resolver gives the current addresses of a backend in a stable order. It must
// not block. No address counts as a failure to connect.
type Resolver interface {
	Addresses(backend migration.Backend) []netip.AddrPort
}

// Observer hears that a result of probing a service has changed; Probes gives
// the new one. It may be called by several goroutines at once.
type Observer interface {
	ProbesChanged(service migration.Name)
}

// Files says which copies of certificate files nginx reads; a file without a copy
// stays. It must not block.
type Files interface {
	TrustedFile(file string) string
	KeyPair(cert, key string) (certCopy, keyCopy string)
}

// Options are the parts of a Checker.
type Options struct {
	Roots    string // PEM file of the root certificates that nginx trusts; "" for the system's
	Files    Files  // nil: there are no copies
	Resolver Resolver
	Observer Observer
}

// maxProbes is how many probes are under way at once.
const maxProbes = 32

// probeFunc probes one address. An error that is not a *failedProbe says
// nothing about the address.
type probeFunc func(context.Context, Spec, netip.AddrPort) error

// Checker probes any number of targets. Its methods may be called from any
// goroutine.
type Checker struct {
	options Options
	probe   probeFunc
	slots   chan struct{}  // holds one element for each probe under way
	running sync.WaitGroup // probes that are under way, or wait for a slot

	mu      sync.Mutex
	ctx     context.Context // of Run; nil before it
	entries map[Key]*entry
}

// New makes a Checker without targets.
func New(options Options) *Checker {
	return newChecker(options, newProber(options.Roots, options.Files).probe)
}

func newChecker(options Options, probe probeFunc) *Checker {
	return &Checker{options: options, probe: probe, slots: make(chan struct{}, maxProbes), entries: map[Key]*entry{}}
}

// SetTargets replaces the targets. The result of a target whose Spec is the
// same is kept; the others begin as Unknown.
func (c *Checker) SetTargets(targets []Target) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.entries {
		e.wanted = false
	}
	for _, target := range targets {
		e := c.entries[target.Key]
		if e == nil {
			e = &entry{}
			c.entries[target.Key] = e
		}
		if e.target.Spec != target.Spec {
			e.reset()
		}
		e.target, e.wanted = target, true
	}
	for _, e := range c.entries {
		c.schedule(e)
	}
}

// SetDemand begins or ends the probing of the new side of a service that is
// probed on demand. Both make its result Unknown; the same value twice changes
// nothing. SetTargets without the service ends the demand.
func (c *Checker) SetDemand(service migration.Name, demanded bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[Key{service, migration.New}]
	if e == nil || !e.target.OnDemand || e.demanded == demanded {
		return
	}
	e.demanded = demanded
	e.reset()
	c.schedule(e)
}

// Probes gives the results of both sides of a service.
func (c *Checker) Probes(service migration.Name) fallback.Probes {
	c.mu.Lock()
	defer c.mu.Unlock()
	var probes fallback.Probes
	if e := c.entries[Key{service, migration.New}]; e != nil {
		probes.New, probes.Error = e.result.Health, e.result.LastError
	}
	if e := c.entries[Key{service, migration.Old}]; e != nil {
		probes.OldDown = e.result.down()
	}
	return probes
}

// Run probes until ctx ends, and returns when no probe is under way. It is
// called once.
func (c *Checker) Run(ctx context.Context) {
	c.mu.Lock()
	c.ctx = ctx
	for _, e := range c.entries {
		c.schedule(e)
	}
	c.mu.Unlock()
	<-ctx.Done()
	c.mu.Lock()
	for _, e := range c.entries {
		e.stopTimer()
	}
	c.mu.Unlock()
	c.running.Wait()
}

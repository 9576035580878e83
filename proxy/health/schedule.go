package health

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/migration-proxy/migration-proxy/fallback"
)

// entry is a target with its result. Its timer begins the next probe; a probe
// that has ended sets the timer again. So there is never more than one probe
// of a target. An entry that is removed while its probe is under way stays
// until that probe has ended, so that a successor with the same key waits.
type entry struct {
	target     Target
	result     result
	wanted     bool // SetTargets has named it
	demanded   bool
	busy       bool // its probe is under way
	started    bool // the timer of this generation has been set
	generation int  // a probe of an older generation does not count
	turn       int  // index of the address to probe; a failure moves it on
	timer      *time.Timer
}

func (e *entry) active() bool {
	return e.wanted && (!e.target.OnDemand || e.demanded)
}

// reset forgets the result, and makes that of a probe under way not count.
func (e *entry) reset() {
	e.stopTimer()
	e.result, e.started = result{}, false
	e.generation++
}

func (e *entry) stopTimer() {
	if e.timer != nil {
		e.timer.Stop()
	}
}

// schedule is called after each change of an entry. Before Run it only drops
// entries; Run calls it again.
func (c *Checker) schedule(e *entry) {
	switch {
	case !e.active():
		e.reset()
	case c.ctx != nil && !e.busy && !e.started:
		e.started = true
		c.probeAfter(e, e.firstDelay())
	}
	if !e.wanted && !e.busy {
		delete(c.entries, e.target.Key)
	}
}

// firstDelay spreads the first probes of thousands of services over an
// interval. A probe on demand begins at once: a recovery waits for it.
func (e *entry) firstDelay() time.Duration {
	if e.target.OnDemand {
		return 0
	}
	return rand.N(max(e.target.Check.Interval, 1))
}

// jittered gives the interval, 10 % more or less.
func jittered(interval time.Duration) time.Duration {
	tenth := max(interval/10, 1)
	return interval - tenth + rand.N(2*tenth)
}

func (c *Checker) probeAfter(e *entry, delay time.Duration) {
	generation := e.generation
	e.timer = time.AfterFunc(delay, func() { c.probeEntry(e, generation) })
}

// probeEntry waits for a slot, probes once and sets the timer again.
func (c *Checker) probeEntry(e *entry, generation int) {
	if !c.enter() {
		return
	}
	defer c.running.Done()
	select {
	case <-c.ctx.Done():
		return
	case c.slots <- struct{}{}:
	}
	defer func() { <-c.slots }()
	target, turn, current := c.beginProbe(e, generation)
	if !current {
		return
	}
	started := time.Now()
	err := c.probeTarget(target, turn)
	if c.endProbe(e, generation, started, err) {
		c.options.Observer.ProbesChanged(target.Service)
	}
}

// enter reports whether Run has not ended, and makes it wait for this probe.
func (c *Checker) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return false
	}
	c.running.Add(1)
	return true
}

// beginProbe reports false when the entry was reset after its timer was set.
func (c *Checker) beginProbe(e *entry, generation int) (target Target, turn int, current bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.generation != generation {
		return Target{}, 0, false
	}
	e.busy = true
	return e.target, e.turn, true
}

// endProbe reports whether the result has changed.
func (c *Checker) endProbe(e *entry, generation int, started time.Time, err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	e.busy = false
	if err != nil {
		e.turn++
	}
	if e.generation != generation {
		c.schedule(e)
		return false
	}
	if c.ctx.Err() != nil {
		return false
	}
	c.probeAfter(e, time.Until(started.Add(jittered(e.target.Check.Interval))))
	return e.result.add(err, e.target.Check)
}

func (c *Checker) probeTarget(target Target, turn int) error {
	addresses := c.options.Resolver.Addresses(target.Backend)
	if len(addresses) == 0 {
		return &failedProbe{fallback.FailureConnect, errors.New("the name has no address")}
	}
	ctx, cancel := context.WithTimeout(c.ctx, target.Check.Timeout)
	defer cancel()
	return c.probe(ctx, target.Spec, addresses[turn%len(addresses)])
}

package dataplane

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy/accesslog"
	"github.com/migration-proxy/migration-proxy/proxy/breaker"
	"github.com/migration-proxy/migration-proxy/proxy/cacheroom"
	"github.com/migration-proxy/migration-proxy/proxy/drills"
	"github.com/migration-proxy/migration-proxy/proxy/positions"
	"github.com/migration-proxy/migration-proxy/proxy/sampling"
)

// retryPause is the time before a part that failed begins again.
const retryPause = time.Second

// run runs all parts until ctx ends or one of them fails. The access log is
// read, and the HTTP API answers, until nginx has finished: the last requests
// count too.
func (p *dataPlane) run(ctx context.Context) error {
	group, running := errgroup.WithContext(ctx)
	lasting, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	group.Go(func() error {
		defer end()
		return p.agent.Run(running, agentObserver{p.breaker, p.counters, p.cache, p.positions, p.sampler, p.asker.Errors})
	})
	group.Go(func() error { return p.server.Run(lasting, p.listener) })
	group.Go(func() error { p.readAccessLog(lasting); return nil })
	group.Go(func() error { return p.sync.Run(running) })
	group.Go(func() error { return p.followPositions(running) })
	group.Go(func() error { p.moveRamps(running); return nil })
	group.Go(func() error { p.followDrills(running); return nil })
	group.Go(func() error { p.keepJournal(running); return nil })
	group.Go(func() error { p.runBreaker(running); return nil })
	group.Go(func() error { return p.receiveFailures(running) })
	group.Go(func() error { p.serveOperator(running); return nil })
	group.Go(func() error { p.guardCache(running); return nil })
	group.Go(func() error { p.compareSides(running); return nil })
	group.Go(func() error { p.recordHistory(running); return nil })
	return group.Wait()
}

// agentObserver tells the other parts what the agent sees.
type agentObserver struct {
	breaker  *breaker.Breaker
	counters *accesslog.Counters
	cache    *cacheroom.Guard

	positions *positions.Follower
	sampler   *sampling.Sampler
	compared  *sampling.Errors
}

// ConfigApplied implements proxy.Observer.
func (o agentObserver) ConfigApplied(table *migration.Table) {
	o.counters.SetRoutes(table, time.Now())
	o.positions.SetTable(table)
	o.breaker.SetTable(table, time.Now())
	o.sampler.SetTable(table)
	o.cache.SetUsed(table.Global().CacheBytes > 0)
}

// ShareApplied implements proxy.Observer.
func (o agentObserver) ShareApplied(service migration.Name, share migration.Share) {
	o.counters.SetShare(service, share, time.Now())
}

// NginxLogged implements proxy.Observer.
func (o agentObserver) NginxLogged(line string) {
	now := time.Now()
	o.breaker.ObserveErrorLog(line, now)
	o.compared.Observe(line, now)
}

// awaitRuntimeDir waits until the agent has the runtime directory for itself.
// It reports false when ctx ends first: the agent has failed, and reports why.
func (p *dataPlane) awaitRuntimeDir(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-p.agent.RuntimeDirReady():
		return true
	}
}

// readAccessLog counts and forwards the lines that nginx writes from now on.
// The lines that a killed predecessor has read are not read again.
func (p *dataPlane) readAccessLog(ctx context.Context) {
	if !p.awaitRuntimeDir(ctx) {
		return
	}
	if p.forwarder != nil {
		defer p.startForwarder(ctx)()
	}
	intake := &accesslog.Intake{Counters: p.counters, Forwarder: p.forwarder, Observer: requestObservers{p.breaker, p.sampler}, Log: p.log}
	tail := &accesslog.Tail{
		Path: p.runtimeFile("access.log"), AtEnd: true,
		Nginx: p.agent, Consumer: intake, Log: p.log,
	}
	p.retry(ctx, "access log", tail.Run)
}

// startForwarder runs the forwarder until stop is called. Stop waits until the
// lines are written.
func (p *dataPlane) startForwarder(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var forwarding sync.WaitGroup
	forwarding.Go(func() { p.forwarder.Run(ctx) })
	return func() {
		cancel()
		forwarding.Wait()
	}
}

// followPositions follows the ramps.
func (p *dataPlane) followPositions(ctx context.Context) error {
	if !p.awaitRuntimeDir(ctx) {
		return nil
	}
	return p.positions.Run(ctx)
}

// moveRamps moves the ramps of a local config.
func (p *dataPlane) moveRamps(ctx context.Context) {
	if p.ramps != nil && p.awaitRuntimeDir(ctx) {
		p.ramps.Run(ctx)
	}
}

// followDrills follows the drills of a local config.
func (p *dataPlane) followDrills(ctx context.Context) {
	if p.ramps != nil && p.awaitRuntimeDir(ctx) {
		drills.Follow(ctx, p.options.RuntimeDir, p.breaker, p.log)
	}
}

// keepJournal writes the journal of a local config.
func (p *dataPlane) keepJournal(ctx context.Context) {
	if p.journal != nil && p.awaitRuntimeDir(ctx) {
		p.journal.Run(ctx)
	}
}

// receiveFailures receives the failures of new as they happen.
func (p *dataPlane) receiveFailures(ctx context.Context) error {
	if !p.awaitRuntimeDir(ctx) {
		return nil
	}
	failures := &accesslog.FailureSocket{Path: p.runtimeFile("failures.sock"), Observer: p.breaker, Log: p.log}
	failures.Writer, _ = p.agent.WorkerID()
	return failures.Run(ctx)
}

// runBreaker moves services on when their times have come.
func (p *dataPlane) runBreaker(ctx context.Context) {
	if p.awaitRuntimeDir(ctx) {
		p.breaker.Run(ctx)
	}
}

// serveOperator answers the commands fallback and recover.
func (p *dataPlane) serveOperator(ctx context.Context) {
	if !p.awaitRuntimeDir(ctx) {
		return
	}
	p.retry(ctx, "control socket", func(ctx context.Context) error {
		return p.breaker.ServeCommands(ctx, p.options.RuntimeDir)
	})
}

// guardCache switches the cache off while its disk has little room.
func (p *dataPlane) guardCache(ctx context.Context) {
	if p.awaitRuntimeDir(ctx) {
		p.cache.Run(ctx)
	}
}

// retry runs a part again and again until ctx ends. The part may fail: traffic
// does not need it, so nginx must not end because of it.
func (p *dataPlane) retry(ctx context.Context, part string, run func(context.Context) error) {
	for ctx.Err() == nil {
		err := run(ctx)
		if err == nil {
			continue
		}
		p.log.Error("part of the proxy failed, it starts again", "part", part, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(retryPause):
		}
	}
}

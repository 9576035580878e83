package dataplane

import (
	"context"
	"sync"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy/accesslog"
	"github.com/migration-proxy/migration-proxy/proxy/breaker"
	"github.com/migration-proxy/migration-proxy/proxy/sampling"
)

// figuresPause is the time between two looks at the figures of both sides.
const figuresPause = 10 * time.Second

// compareSides asks both sides of the services with compare.continuous, and stops when a
// side gets worse.
func (p *dataPlane) compareSides(ctx context.Context) {
	if !p.awaitRuntimeDir(ctx) {
		return
	}
	var asking sync.WaitGroup
	asking.Go(func() { p.sampler.Run(ctx) })
	defer asking.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(figuresPause):
		}
		if p.sampler.Idle() {
			continue
		}
		document := p.agent.Status()
		p.counters.Fill(document.Services, document.Now)
		p.sampler.ReadFigures(document.Services, document.Now)
	}
}

// requestObservers are called one after another for each request of the access log.
type requestObservers struct {
	breaker *breaker.Breaker
	sampler *sampling.Sampler
}

// ObserveRequest implements accesslog.RequestObserver.
func (o requestObservers) ObserveRequest(event *accesslog.Event, now time.Time) {
	o.breaker.ObserveRequest(event, now)
	o.sampler.ObserveRequest(event, now)
}

// withComparison adds what was found by asking both sides to the evidence of ramps that
// wait for it.
func (p *dataPlane) withComparison(all status.Evidence) status.Evidence {
	table := p.agent.Table()
	if table == nil {
		return all
	}
	for name, one := range all.Services {
		row := table.Service(migration.Name(name))
		if row == nil || row.Ramp == nil || row.Ramp.Parity == 0 {
			continue
		}
		one.Comparison = p.sampler.Comparison(row.Name, all.Now)
		all.Services[name] = one
	}
	return all
}

// rampCounters are the counters with the comparison, for the ramps of this process.
type rampCounters struct {
	*accesslog.Counters
	proxy *dataPlane
}

// Evidence implements localramp.Counters.
func (c rampCounters) Evidence(now time.Time) status.Evidence {
	return c.proxy.withComparison(c.Counters.Evidence(now))
}

package dataplane

import (
	"errors"
	"fmt"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// status is the document of /status.
func (p *dataPlane) status() status.Status {
	document := p.briefStatus()
	workers := p.agent.Workers()
	document.Nginx.Workers = &workers
	p.counters.Fill(document.Services, document.Now)
	for i := range document.Services {
		row := &document.Services[i]
		row.Comparison = p.sampler.Comparison(migration.Name(row.Name), document.Now)
	}
	return document
}

// briefStatus is the status with only the splits of the figures per service. The
// watcher asks for it once a second.
func (p *dataPlane) briefStatus() status.Status {
	document := p.agent.Status()
	p.counters.FillSplits(document.Services, document.Now)
	document.Log = p.counters.Log()
	p.addRampProblem(document.Services)
	document.Ready = document.Ready && !p.draining.Load() && p.positionsProblem() == nil
	return document
}

// addRampProblem says why ramps cannot move.
func (p *dataPlane) addRampProblem(services []status.Service) {
	if p.ramps == nil {
		return
	}
	for i := range services {
		if services[i].Ramp != nil {
			services[i].Ramp.Problem = p.ramps.Problem()
		}
	}
}

// evidence is the document of /evidence.
func (p *dataPlane) evidence() status.Evidence {
	return p.withComparison(p.counters.Evidence(time.Now()))
}

// positionsProblem is an error for a moment after the start, while the service would get
// 0 % because nobody has said how far its ramp is.
func (p *dataPlane) positionsProblem() error {
	table := p.agent.Table()
	if p.positions.Known() || table == nil || !table.HasRamps() {
		return nil
	}
	return errors.New("the positions of the ramps are not known yet")
}

// ready is the answer of /ready: nil while new traffic may come.
func (p *dataPlane) ready() error {
	if p.draining.Load() {
		return errors.New("shutting down")
	}
	snapshot := p.agent.Summary()
	switch rejected := snapshot.Config.Rejected; {
	case snapshot.Ready:
		return p.positionsProblem()
	case snapshot.Config.Digest != "" && snapshot.Nginx.PID != 0:
		return p.agent.SideProblem()
	case rejected != nil && len(rejected.Problems) > 0:
		return fmt.Errorf("no config is in force: %s", rejected.Problems[0])
	}
	return errors.New("no config is in force yet")
}

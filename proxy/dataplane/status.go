package dataplane

import (
	"errors"
	"fmt"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/status"
)

// status is the document of /status.
func (p *dataPlane) status() status.Status {
	document := p.briefStatus()
	p.counters.Fill(document.Services, document.Now)
	return document
}

// briefStatus is the status with only the splits of the figures per service. The
// watcher asks for it once a second.
func (p *dataPlane) briefStatus() status.Status {
	document := p.agent.Status()
	p.counters.FillSplits(document.Services, document.Now)
	document.Log = p.counters.Log()
	document.Ready = document.Ready && !p.draining.Load()
	return document
}

// evidence is the document of /evidence.
func (p *dataPlane) evidence() status.Evidence { return p.counters.Evidence(time.Now()) }

// ready is the answer of /ready: nil while new traffic may come.
func (p *dataPlane) ready() error {
	if p.draining.Load() {
		return errors.New("shutting down")
	}
	snapshot := p.agent.Status()
	switch rejected := snapshot.Config.Rejected; {
	case snapshot.Ready:
		return nil
	case snapshot.Config.Digest != "" && snapshot.Nginx.PID != 0:
		return p.agent.SideProblem()
	case rejected != nil && len(rejected.Problems) > 0:
		return fmt.Errorf("no config is in force: %s", rejected.Problems[0])
	}
	return errors.New("no config is in force yet")
}

package proxy

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// loopState is what the agent loop publishes for other goroutines. It never
// changes.
type loopState struct {
	startedAt   time.Time
	publishedAt time.Time
	config      status.Config
	served      *generation // nil, or with a table
	digest      string      // of the nginx config that was read back
	reloads     int
	fallbacks   map[migration.Name]fallbackState
	positions   map[migration.Name]migration.Share
}

// publish replaces the published state.
func (l *agentLoop) publish() {
	next := &loopState{
		startedAt:   l.published.Load().startedAt,
		publishedAt: time.Now(),
		config:      status.Config{Since: l.since, Rejected: l.rejected, Results: maps.Clone(l.results)},
		reloads:     l.reloads,
		fallbacks:   maps.Clone(l.fallbacks),
		positions:   l.positions,
	}
	if l.served != nil {
		next.digest = l.served.config.Digest
	}
	if l.table() != nil {
		next.served = l.served
		next.config.Source, next.config.Digest = l.served.source, l.served.table.Digest()
	}
	l.published.Store(next)
}

// maxTurn is the maximum time for one turn of the agent loop. Thousands of
// new services take seconds, but not this long.
const maxTurn = time.Minute

// Alive returns an error, with the time of the last turn, when the agent loop
// hangs.
func (a *Agent) Alive() error {
	if last := a.published.Load().publishedAt; time.Since(last) > maxTurn {
		return fmt.Errorf("the agent has done nothing since %s", last.Format(time.RFC3339))
	}
	return nil
}

// Table returns the table in force, or nil.
func (a *Agent) Table() *migration.Table {
	if served := a.published.Load().served; served != nil {
		return served.table
	}
	return nil
}

// Addresses returns the current addresses of a backend, sorted.
func (a *Agent) Addresses(b migration.Backend) []netip.AddrPort {
	return a.names.Current([]migration.Backend{b}).Endpoints[b]
}

// Status returns the current status of the proxy. The caller adds what is
// counted from the access log (rates, latencies, observed shares, Log).
func (a *Agent) Status() status.Status {
	state := a.published.Load()
	document := a.summary(state)
	document.Services = a.services(state)
	return document
}

// Summary is the status without the services, which take a millisecond for a thousand.
func (a *Agent) Summary() status.Status { return a.summary(a.published.Load()) }

func (a *Agent) summary(state *loopState) status.Status {
	master := a.master.State()
	return status.Status{
		Version:   a.options.Version,
		StartedAt: state.startedAt,
		Now:       time.Now(),
		Ready:     state.served != nil && master.PID != 0 && a.SideProblem() == nil,
		Config:    state.config,
		Nginx: status.Nginx{
			Version:          a.nginx.Version.String(),
			KnownHoles:       a.knownHoles,
			PID:              master.PID,
			StructureDigest:  state.digest,
			Since:            master.Since,
			Reloads:          state.reloads,
			Restarts:         master.Restarts,
			LastError:        master.LastError,
			SideProblem:      a.sideProblem(),
			ConnectionsTaken: a.sides.has(faultFull),
			MemoryTaken:      a.memory.Taken(time.Now()),
		},
	}
}

// Workers counts nginx's workers. It is no part of Status: it takes as long as there are
// processes on the machine.
func (a *Agent) Workers() status.Workers {
	serving, ending := a.master.Workers()
	return status.Workers{Serving: serving, ShuttingDown: ending}
}

// sideProblem is SideProblem for the status: "" before the first check.
func (a *Agent) sideProblem() string {
	err := a.SideProblem()
	if err == nil || errors.Is(err, errNotAsked) {
		return ""
	}
	return err.Error()
}

func (a *Agent) services(state *loopState) []status.Service {
	if state.served == nil {
		return []status.Service{}
	}
	failed := a.names.Failed()
	services := state.served.table.Services()
	rows := make([]status.Service, 0, len(services))
	for i := range services {
		s := &services[i]
		row := status.Service{
			Name:       string(s.Name),
			OldHost:    string(s.OldHost),
			PathPrefix: string(s.PathPrefix),
			Strategy:   string(s.Strategy),
			Share:      s.ShareAt(state.positions[s.Name]).Percent(),
			Ramp:       rampOf(s, state.positions[s.Name]),
			RulesToNew: len(s.RulesTo(migration.New)) > 0,
			Old:        a.side(s.OldBackend, state.served, failed),
			New:        a.side(s.NewBackend, state.served, failed),
		}
		row.SideProblem = a.sides.problemOf(s.Name)
		row.New.CertificateProblem = a.certificateProblem(s)
		row.Phase, row.Reason = phase(s, state.fallbacks[s.Name])
		rows = append(rows, row)
	}
	return rows
}

// rampOf is what limits the share of a service; nil without a ramp.
func rampOf(s *migration.Service, position migration.Share) *status.Ramp {
	if s.Ramp == nil {
		return nil
	}
	return &status.Ramp{Ceiling: s.EffectiveShare().Percent(), Position: position.Percent(), Advise: s.Ramp.Advise}
}

// certificateProblem is about the files that verify new, and those that prove who we
// are.
func (a *Agent) certificateProblem(s *migration.Service) string {
	if s.NewBackend.Scheme != migration.HTTPS {
		return ""
	}
	problem := a.certs.Problem(s.TLS)
	if problem == "" && s.TLS.Verify && s.TLS.CAFile == "" {
		problem = a.certs.SystemProblem()
	}
	return problem
}

// phase has the same order as migration.Service.Decide: disabled comes before
// tripped.
func phase(s *migration.Service, fallback fallbackState) (status.Phase, string) {
	switch {
	case !s.Enabled:
		return status.Disabled, "migration.enabled is false"
	case fallback.phase == status.FallenBack || fallback.phase == status.Recovering:
		return fallback.phase, fallback.reason
	}
	return status.Migrating, fallback.reason
}

// leadsToUs is the warning about a backend with an address of this proxy.
const leadsToUs = "an address of it is this proxy itself: its requests get 508; correct the backend"

// side lists the addresses that nginx uses, and the reason why there are no
// newer ones.
func (a *Agent) side(b migration.Backend, served *generation, failed map[string]error) status.Side {
	endpoints := served.endpoints[b]
	addresses := make([]string, 0, len(endpoints))
	for _, address := range endpoints {
		addresses = append(addresses, address.String())
	}
	row := status.Side{Backend: b.String(), Addresses: addresses}
	if slices.ContainsFunc(endpoints, a.options.Params.IsOwn) {
		row.Warning = leadsToUs
	}
	if err := failed[b.Host]; err != nil {
		row.Unresolved = err.Error()
	}
	return row
}

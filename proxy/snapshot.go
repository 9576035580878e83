package proxy

import (
	"fmt"
	"maps"
	"net/netip"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy/resolve"
)

// view is what the owner lets others see. It is never changed.
type view struct {
	started  time.Time
	turned   time.Time // when the owner published it
	config   status.Config
	served   *generation // nil, or with a table
	digest   string      // of nginx's config, once it was read back
	reloads  int
	verdicts map[migration.Name]verdict
}

// publish replaces the view.
func (o *owner) publish() {
	next := &view{
		started:  o.view.Load().started,
		turned:   time.Now(),
		config:   status.Config{Since: o.since, Rejected: o.rejected, Results: maps.Clone(o.results)},
		reloads:  o.reloads,
		verdicts: maps.Clone(o.verdicts),
	}
	if o.served != nil {
		next.digest = o.served.config.Digest
	}
	if o.table() != nil {
		next.served = o.served
		next.config.Source, next.config.Digest = o.served.source, o.served.table.Digest()
	}
	o.view.Store(next)
}

// mostTurn is how long the owner may be busy with one turn: thousands of
// services that are new take seconds, but not this long.
const mostTurn = time.Minute

// Alive tells whether the agent still does its work; an error says since when
// it does not.
func (a *Agent) Alive() error {
	if last := a.view.Load().turned; time.Since(last) > mostTurn {
		return fmt.Errorf("the agent has done nothing since %s", last.Format(time.RFC3339))
	}
	return nil
}

// Table gives the table in force, or nil while there is none.
func (a *Agent) Table() *migration.Table {
	if served := a.view.Load().served; served != nil {
		return served.table
	}
	return nil
}

// Addresses gives where a backend is now, in a stable order.
func (a *Agent) Addresses(b migration.Backend) []netip.AddrPort {
	return a.names.Snapshot([]migration.Backend{b}).Endpoints[b]
}

// Status tells how things stand. What is counted from the access log (rates,
// latencies, observed shares, Log) is for the caller to add.
func (a *Agent) Status() status.Status {
	v, master := a.view.Load(), a.master.State()
	return status.Status{
		Version:   a.options.Version,
		StartedAt: v.started,
		Now:       time.Now(),
		Ready:     v.served != nil && master.PID != 0,
		Config:    v.config,
		Nginx: status.Nginx{
			Version:         a.nginx.Version.String(),
			PID:             master.PID,
			StructureDigest: v.digest,
			Since:           master.Since,
			Reloads:         v.reloads,
			Restarts:        master.Restarts,
			LastError:       master.LastError,
		},
		Services: a.rows(v),
	}
}

func (a *Agent) rows(v *view) []status.Service {
	rows := []status.Service{}
	if v.served == nil {
		return rows
	}
	names := a.names.Snapshot(backends(v.served.table))
	services := v.served.table.Services()
	for i := range services {
		s := &services[i]
		row := status.Service{
			Name:       string(s.Name),
			OldHost:    string(s.OldHost),
			PathPrefix: string(s.PathPrefix),
			Strategy:   string(s.Strategy),
			Share:      s.EffectiveShare().Percent(),
			Old:        side(s.OldBackend, v.served, names),
			New:        side(s.NewBackend, v.served, names),
		}
		row.Phase, row.Reason = phase(s, v.verdicts[s.Name])
		rows = append(rows, row)
	}
	return rows
}

// phase says first what decides first.
func phase(s *migration.Service, v verdict) (status.Phase, string) {
	switch {
	case !s.Enabled:
		return status.Disabled, "migration.enabled is false"
	case v.phase == status.FallenBack || v.phase == status.Recovering:
		return v.phase, v.reason
	}
	return status.Migrating, v.reason
}

// side shows the addresses that nginx uses, and why there are no newer ones.
func side(b migration.Backend, served *generation, names resolve.Snapshot) status.Side {
	row := status.Side{Backend: b.String(), Addresses: texts(served.endpoints[b])}
	if err := names.Errors[b]; err != nil {
		row.Unresolved = err.Error()
	}
	return row
}

func texts(addresses []netip.AddrPort) []string {
	all := []string{}
	for _, address := range addresses {
		all = append(all, address.String())
	}
	return all
}

package proxy

import (
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy/weights"
)

// weigh applies the weights that differ from what was applied last.
func (o *owner) weigh() {
	if o.table() == nil {
		return
	}
	services := o.table().Services()
	for i := range services {
		o.apply(&services[i], o.state(&services[i]))
	}
}

// apply puts one service's state in force; a failure is tried again at the
// next turn.
func (o *owner) apply(s *migration.Service, state weights.State) {
	if last, known := o.applied[s.Name]; known && last == state {
		return
	}
	if err := o.store.Apply(s.Name, state); err != nil {
		o.options.Log.Error("weight not applied", "service", s.Name, "error", err)
		return
	}
	o.applied[s.Name] = state
}

// state is what a served service's weight must be now.
func (o *owner) state(s *migration.Service) weights.State {
	now := stateOf(s, o.verdicts[s.Name])
	if o.wanted == nil {
		return now
	}
	next := o.wanted.table.Service(s.Name)
	if next == nil {
		return now
	}
	return meanwhile(s, next, o.verdicts[s.Name])
}

func stateOf(s *migration.Service, v verdict) weights.State {
	return weights.State{Share: s.Share, Enabled: s.Enabled, Tripped: v.tripped()}
}

// meanwhile is the state of a service while a table is on its way in. Less
// traffic to new is obeyed at once, and more only when the rest of the table
// is in force: it might be meant for another backend.
func meanwhile(served, next *migration.Service, v verdict) weights.State {
	now, then := stateOf(served, v), stateOf(next, v)
	if !then.Enabled {
		return then
	}
	now.Share = min(now.Share, then.Share)
	return now
}

// weighNew gives the services that a table adds their weights, before any
// nginx knows them.
func (o *owner) weighNew(table *migration.Table) {
	services := table.Services()
	for i := range services {
		s := &services[i]
		if o.table() == nil || o.table().Service(s.Name) == nil {
			o.recall(s.Name)
			o.apply(s, stateOf(s, o.verdicts[s.Name]))
		}
	}
}

// recall keeps a service tripped that was so before the agent was killed,
// until the fallback says otherwise.
func (o *owner) recall(name migration.Name) {
	before, err := o.store.Read(name)
	if _, known := o.verdicts[name]; known || err != nil || !before.Tripped {
		return
	}
	o.verdicts[name] = verdict{status.FallenBack, "it had fallen back before the agent was restarted"}
}

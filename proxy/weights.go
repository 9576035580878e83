package proxy

import (
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy/weights"
)

// applyWeights applies the weights that differ from those applied last.
func (l *agentLoop) applyWeights() {
	if l.table() == nil {
		return
	}
	services := l.table().Services()
	for i := range services {
		l.applyWeight(services[i].Name, l.weightOf(&services[i]))
	}
}

// applyWeight applies the weight of one service. A failure is tried again at
// the next turn.
func (l *agentLoop) applyWeight(name migration.Name, weight weights.State) {
	if last, known := l.applied[name]; known && last == weight {
		return
	}
	if err := l.store.Apply(name, weight); err != nil {
		l.options.Log.Error("cannot apply the weight of a service", "service", name, "error", err)
		return
	}
	l.applied[name] = weight
	l.observer.ShareApplied(name, effectiveShare(weight))
}

func effectiveShare(weight weights.State) migration.Share {
	if !weight.Enabled || weight.Tripped {
		return 0
	}
	return weight.Share
}

// weightOf is the weight that a service of the table in force must have now.
func (l *agentLoop) weightOf(served *migration.Service) weights.State {
	if l.wanted != nil {
		if wanted := l.wanted.table.Service(served.Name); wanted != nil {
			return weightDuringChange(l.weight(served), l.weight(wanted))
		}
	}
	return l.weight(served)
}

// weight is the weight of a service of any table.
func (l *agentLoop) weight(s *migration.Service) weights.State {
	return weights.State{Share: s.ShareAt(l.positions[s.Name]), Enabled: s.Enabled, Tripped: l.fallbacks[s.Name].tripped()}
}

// weightDuringChange is the weight of a service until the wanted table is in
// force. Less traffic to new applies at once. More traffic to new waits for
// the rest of the table, because it may be meant for another backend:
//
//	served   wanted     weight
//	20 %     50 %       20 %
//	20 %     10 %       10 %
//	20 %     disabled   disabled
//	disabled 20 %       disabled
func weightDuringChange(now, next weights.State) weights.State {
	if !next.Enabled {
		return next
	}
	now.Share = min(now.Share, next.Share)
	return now
}

// applyNewWeights applies the weights of the services that a table adds,
// before nginx loads a config with these services.
func (l *agentLoop) applyNewWeights(table *migration.Table) {
	services := table.Services()
	for i := range services {
		s := &services[i]
		if l.table() == nil || l.table().Service(s.Name) == nil {
			l.restoreTrip(s.Name)
			l.applyWeight(s.Name, l.weight(s))
		}
	}
}

// restoreTrip keeps a service tripped that was tripped when the previous agent
// was killed, until SetFallback changes it.
func (l *agentLoop) restoreTrip(name migration.Name) {
	previous, err := l.store.Read(name)
	if _, known := l.fallbacks[name]; known || err != nil || !previous.Tripped {
		return
	}
	l.fallbacks[name] = fallbackState{status.FallenBack, "it had fallen back before the agent was restarted"}
}

// restoreWeights makes the next turn apply the weights again whose files are not what
// was applied, or that nginx does not see.
func (l *agentLoop) restoreWeights() {
	unseen := l.sides.has(faultBlind)
	for name, applied := range l.applied {
		found, err := l.store.Read(name)
		changed := err != nil || !found.Same(applied)
		if changed {
			l.options.Log.Warn("weight of a service was changed or removed, applying it again", "service", name)
		}
		if changed || unseen || l.sides.problemOf(name) != "" {
			delete(l.applied, name)
		}
	}
	if found, err := l.store.Read(weights.CheckedService); unseen || err != nil || !found.Same(checkedWeight) {
		if err := l.store.Apply(weights.CheckedService, checkedWeight); err != nil {
			l.options.Log.Error("cannot apply the weight that nginx is asked about", "error", err)
		}
	}
}

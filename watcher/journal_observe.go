package watcher

import (
	"maps"
	"strings"
	"time"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/journal"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/watcher/clusterjournal"
	"github.com/migration-proxy/migration-proxy/watcher/events"
)

// observeForJournal hands the state to the journal when something has changed that
// belongs there.
func (l *stateLoop) observeForJournal() {
	l.splits.Take(l.rowsByReplica())
	state := journal.State{
		At: time.Now(), Table: l.config.table, Text: l.config.digest, Rejected: l.config.rejected,
		Paused: l.cluster.Paused, Services: l.cluster.Services, Trips: l.trips(), Refusals: l.refusals(), Drills: l.drills(),
	}
	if l.observed != nil && sameForJournal(*l.observed, state) {
		return
	}
	state.Evidence = l.evidence()
	l.observed = &state
	change := clusterjournal.Change{At: state.At, State: &state, Write: &clusterjournal.Write{Object: journal.ConfigObject}}
	if l.config.configMap != nil {
		change.Write.Manager, change.Events = clusterjournal.LastManager(l.config.configMap), l.config.configMap
	}
	l.journal.Add(change)
}

func sameForJournal(a, b journal.State) bool {
	return a.Table == b.Table && a.Text == b.Text && a.Rejected == b.Rejected && a.Paused == b.Paused &&
		maps.Equal(a.Services, b.Services) && maps.Equal(a.Drills, b.Drills) &&
		maps.EqualFunc(a.Trips, b.Trips, samePods[string]) && samePods(a.Refusals, b.Refusals)
}

func samePods[V any](a, b map[string]V) bool {
	return maps.EqualFunc(a, b, func(V, V) bool { return true })
}

// trips are the services whose circuit breaker is open, by service and pod, with the
// reasons.
func (l *stateLoop) trips() map[string]map[string]string {
	trips := map[string]map[string]string{}
	for i := range l.replicas {
		replica := &l.replicas[i]
		for _, service := range replica.Status.Services {
			if !replica.Answered || service.Phase != status.FallenBack {
				continue
			}
			if trips[service.Name] == nil {
				trips[service.Name] = map[string]string{}
			}
			trips[service.Name][replica.Pod] = service.Reason
		}
	}
	return trips
}

// drills are the newest drills of all services. Those that cannot be read are none.
func (l *stateLoop) drills() map[string]status.Drill {
	found, err := l.ramps.Drills()
	if err != nil {
		l.log.Warn("drills are not readable", "configmap", l.ramps.String(), "error", err)
	}
	return found
}

// refusals are the valid configs that replicas refuse.
func (l *stateLoop) refusals() map[string]journal.Refusal {
	refusals := map[string]journal.Refusal{}
	for i := range l.replicas {
		rejected := l.replicas[i].Status.Config.Rejected
		if rejected == nil || l.config.rejected != "" && rejected.Stage == "load" {
			continue
		}
		refusals[l.replicas[i].Pod] = journal.Refusal{At: rejected.At, Why: rejected.Stage + ": " + strings.Join(rejected.Problems, "; ")}
	}
	return refusals
}

// evidence is what the replicas have counted of each service.
func (l *stateLoop) evidence() map[string]*journal.Evidence {
	evidence := map[string]*journal.Evidence{}
	replicas, nginx := 0, ""
	for i := range l.replicas {
		if l.replicas[i].Ready && l.replicas[i].Answered {
			replicas, nginx = replicas+1, l.replicas[i].Status.Nginx.Version
		}
	}
	for name, row := range l.servedRows(l.splits.Until) {
		one := journal.EvidenceOf(row)
		one.Replicas, one.Nginx = replicas, nginx
		if l.config.table != nil {
			one.Digest = l.config.table.Digest()
		}
		evidence[name] = one
	}
	return evidence
}

// rowsByReplica are the services of the replicas that get traffic.
func (l *stateLoop) rowsByReplica() map[string][]status.Service {
	rows := map[string][]status.Service{}
	for i := range l.replicas {
		if l.replicas[i].Ready && l.replicas[i].Answered {
			rows[l.replicas[i].Pod] = l.replicas[i].Status.Services
		}
	}
	return rows
}

// record writes to the journal what happened to an Ingress: a transition, and that its
// user opted in or out.
func (c ingressChanges) record(before, after *networkingv1.Ingress, transition *events.Event) {
	ingress := latest(before, after)
	entry := journal.Entry{At: time.Now(), Service: c.serviceOf(ingress), Object: kube.KeyOf(ingress).String()}
	from, to := optedInText(before), optedInText(after)
	if from != to && !isOurs(ingress) {
		opted := entry
		opted.Kind, opted.What, opted.From, opted.To = journal.OptedIn, "Ingress opted in", from, to
		if to == journal.OptedInText(false) {
			opted.Kind, opted.What = journal.OptedOut, "Ingress opted out"
		}
		write := &clusterjournal.Write{Object: entry.Object, From: from, To: to, Manager: clusterjournal.LastManager(ingress)}
		if after == nil {
			opted.What, write = "Ingress deleted", nil
		}
		c.journal.Add(clusterjournal.Change{At: time.Now(), Entry: opted, Write: write, Events: ingress})
	}
	if transition == nil {
		return
	}
	entry.Kind, entry.From, entry.To = journal.Reverted, string(events.PhaseOf(before)), string(events.PhaseOf(after))
	entry.What, entry.Why = "Ingress points at old", after.Annotations[ingressgen.AnnotationReason]
	if events.PhaseOf(after) == status.Migrating {
		entry.Kind, entry.What = journal.Rewritten, "Ingress points at the proxy"
	}
	c.journal.Append(entry)
}

// serviceOf is the service that an Ingress belongs to; "" if there are several.
func (c ingressChanges) serviceOf(ingress *networkingv1.Ingress) string {
	if named := ingress.Annotations[ingressgen.AnnotationService]; named != "" {
		return named
	}
	desired := c.desired.Load()
	if desired == nil || desired.Table == nil {
		return ""
	}
	services := map[migration.Name]struct{}{}
	for i := range ingress.Spec.Rules {
		for _, service := range desired.Table.OfHost(migration.Host(ingress.Spec.Rules[i].Host)) {
			services[service.Name] = struct{}{}
		}
	}
	if len(services) == 1 {
		for name := range services {
			return string(name)
		}
	}
	return ""
}

// optedInText is how the notes write whether an Ingress has opted in.
func optedInText(ingress *networkingv1.Ingress) string {
	return journal.OptedInText(ingress != nil && ingress.Annotations[ingressgen.AnnotationEnabled] == "true")
}

package watcher

import (
	"log/slog"
	"maps"
	"strings"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/journal"
	"github.com/migration-proxy/migration-proxy/watcher/clusterjournal"
	"github.com/migration-proxy/migration-proxy/watcher/clusterramp"
	"github.com/migration-proxy/migration-proxy/watcher/servicestate"
)

// stateJournal hands to the journal the states of all services. Only the state loop uses
// it.
type stateJournal struct {
	writer *clusterjournal.Writer
	ramps  *clusterramp.Store // drills are in it, too
	log    *slog.Logger
	last   *journal.State // that was handed over
	splits journal.Splits // for its evidence
}

// observation is what the state loop knows.
type observation struct {
	config   *configState
	cluster  status.Cluster
	replicas []servicestate.ReplicaStatus
}

// observe hands over the state when something has changed that belongs into the journal.
func (j *stateJournal) observe(o observation) {
	served := servicestate.Served(o.replicas)
	j.splits.Take(served)
	state := journal.State{
		At: time.Now(), Table: o.config.table, Text: o.config.digest, Rejected: o.config.rejected,
		Paused: o.cluster.Paused, Services: o.cluster.Services, Trips: o.trips(), Refusals: o.refusals(), Drills: j.drills(),
	}
	if j.last != nil && sameForJournal(*j.last, state) {
		return
	}
	state.Evidence = o.evidence(j.splits.Counted(served))
	j.last = &state
	change := clusterjournal.Change{At: state.At, State: &state, Write: &clusterjournal.Write{Object: journal.ConfigObject}}
	if o.config.configMap != nil {
		change.Write.Manager, change.Events = clusterjournal.LastManager(o.config.configMap), o.config.configMap
	}
	j.writer.Add(change)
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
func (o observation) trips() map[string]map[string]string {
	trips := map[string]map[string]string{}
	for i := range o.replicas {
		replica := &o.replicas[i]
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
func (j *stateJournal) drills() map[string]status.Drill {
	found, err := j.ramps.Drills()
	if err != nil {
		j.log.Warn("drills are not readable", "configmap", j.ramps.String(), "error", err)
	}
	return found
}

// refusals are the valid configs that replicas refuse.
func (o observation) refusals() map[string]journal.Refusal {
	refusals := map[string]journal.Refusal{}
	for i := range o.replicas {
		rejected := o.replicas[i].Status.Config.Rejected
		if rejected == nil || o.config.rejected != "" && rejected.Stage == "load" {
			continue
		}
		refusals[o.replicas[i].Pod] = journal.Refusal{At: rejected.At, Why: rejected.Stage + ": " + strings.Join(rejected.Problems, "; ")}
	}
	return refusals
}

// evidence is what the replicas have counted of each service.
func (o observation) evidence(served map[string][]status.Service) map[string]*journal.Evidence {
	evidence := map[string]*journal.Evidence{}
	replicas, nginx := 0, ""
	for i := range o.replicas {
		if o.replicas[i].Ready && o.replicas[i].Answered {
			replicas, nginx = replicas+1, o.replicas[i].Status.Nginx.Version
		}
	}
	for name, row := range servicestate.Sum(served) {
		one := journal.EvidenceOf(row)
		one.Replicas, one.Nginx = replicas, nginx
		if o.config.table != nil {
			one.Digest = o.config.table.Digest()
		}
		evidence[name] = one
	}
	return evidence
}

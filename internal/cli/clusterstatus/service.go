package clusterstatus

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/journal"
	"github.com/migration-proxy/migration-proxy/migration"
)

// Service is one service over all replicas, and in each of them.
type Service struct {
	status.Service
	Since    *time.Time     `json:"since,omitempty"` // of the phase, if the watcher decided it
	Replicas []ReplicaShare `json:"replicas"`
	// LastChange is the newest entry of the journal about the service; nil if there is
	// none, or the user may not read it.
	LastChange *journal.Entry `json:"last_change,omitempty"`
}

// ReplicaShare is one service in one replica.
type ReplicaShare struct {
	Pod      string       `json:"pod"`
	Share    float64      `json:"share_percent"`
	Observed *float64     `json:"observed_percent"`  // nil with too few requests
	Requests uint64       `json:"observed_requests"` // that Observed is about
	Phase    status.Phase `json:"phase"`
	Reason   string       `json:"reason,omitempty"`
	// Comparison is nil unless the config says compare.continuous.
	Comparison *status.Comparison `json:"comparison,omitempty"`
}

// Services gives a row for each service of the table (which may be nil) and for
// each service that a replica serves, by name.
func Services(replicas []kube.Replica, table *migration.Table, state status.Cluster) []Service {
	rows := map[string]*Service{}
	if table != nil {
		for _, service := range table.Services() {
			rows[string(service.Name)] = &Service{Service: desired(service)}
		}
	}
	for _, replica := range replicas {
		for _, own := range replica.Status.Services {
			if rows[own.Name] == nil {
				rows[own.Name] = &Service{Service: status.Service{
					Name: own.Name, OldHost: own.OldHost, PathPrefix: own.PathPrefix, Strategy: own.Strategy, Share: own.Share, Ramp: own.Ramp,
				}}
			}
			rows[own.Name].add(replica.Pod, own)
		}
	}
	sorted := make([]Service, 0, len(rows))
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		rows[name].setPhase(state)
		sorted = append(sorted, *rows[name])
	}
	return sorted
}

// ServiceRow is the row of one service as these replicas serve it; an empty one
// if none of them does.
func ServiceRow(replicas []kube.Replica, state status.Cluster, name migration.Name) status.Service {
	row, _ := find(Services(replicas, nil, state), string(name))
	return row.Service
}

func find(rows []Service, name string) (Service, bool) {
	i := slices.IndexFunc(rows, func(row Service) bool { return row.Name == name })
	if i < 0 {
		return Service{}, false
	}
	return rows[i], true
}

// desired is a service as the config has it.
func desired(s migration.Service) status.Service {
	return status.Service{
		Name: string(s.Name), OldHost: string(s.OldHost), PathPrefix: string(s.PathPrefix), Strategy: string(s.Strategy),
		Share: s.EffectiveShare().Percent(),
		Old:   status.Side{Backend: s.OldBackend.String()}, New: status.Side{Backend: s.NewBackend.String()},
	}
}

// add adds the row of one replica. The service gets the worst phase.
func (s *Service) add(pod string, own status.Service) {
	s.Replicas = append(s.Replicas, ReplicaShare{pod, own.Share, own.Observed, own.ObservedRequests, own.Phase, own.Reason, own.Comparison})
	s.setRamp(own)
	s.Observed = mean(s.Observed, float64(s.ObservedRequests), own.Observed, float64(own.ObservedRequests))
	s.ObservedRequests += own.ObservedRequests
	s.RulesToNew = s.RulesToNew || own.RulesToNew
	s.SideProblem = cmp.Or(s.SideProblem, own.SideProblem)
	s.Split = s.Split.Plus(own.Split)
	s.Old, s.New = addSides(s.Old, own.Old), addSides(s.New, own.New)
	if own.Phase.WorseThan(s.Phase) {
		s.Phase, s.Reason = own.Phase, own.Reason
	}
}

// setRamp takes over how far the ramp is: only replicas know it. The lowest one counts,
// as long as they differ.
func (s *Service) setRamp(own status.Service) {
	if own.Ramp == nil || s.Ramp != nil && s.Ramp.Position <= own.Ramp.Position {
		return
	}
	s.Ramp, s.Share = own.Ramp, own.Share
}

// setPhase decides between the phase of the replicas and what the watcher has
// recorded. The watcher decides what becomes of the Ingresses: its phase counts
// unless that of a replica is worse.
func (s *Service) setPhase(state status.Cluster) {
	recorded, ok := state.Services[s.Name]
	switch {
	case s.Phase == status.Disabled:
	case state.Paused != "":
		s.Phase, s.Reason = status.Bypassed, "paused: "+state.Paused
	case ok && !s.Phase.WorseThan(recorded.Phase):
		s.Phase, s.Reason, s.Since = recorded.Phase, cmp.Or(recorded.Reason, s.Reason), &recorded.Since
	case s.Phase == "":
		s.Phase, s.Reason = status.Bypassed, "no replica serves it"
	}
}

// addSides adds one side of a replica to that of the replicas before.
func addSides(before, own status.Side) status.Side {
	total := own
	total.Rate = before.Rate + own.Rate
	total.Rescued = before.Rescued + own.Rescued
	total.P99 = max(before.P99, own.P99)
	if total.Rate > 0 {
		total.Failed = (before.Failed*before.Rate + own.Failed*own.Rate) / total.Rate
		total.P50 = (before.P50*before.Rate + own.P50*own.Rate) / total.Rate
	}
	total.Unresolved = cmp.Or(before.Unresolved, own.Unresolved)
	total.Warning = cmp.Or(before.Warning, own.Warning)
	total.CertificateProblem = cmp.Or(before.CertificateProblem, own.CertificateProblem)
	return total
}

// mean is the mean of two shares, weighted by requests; nil is a share of too few
// requests.
func mean(a *float64, weightA float64, b *float64, weightB float64) *float64 {
	switch {
	case a == nil:
		return b
	case b == nil || weightA+weightB == 0:
		return a
	}
	return new((*a*weightA + *b*weightB) / (weightA + weightB))
}

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// clusterStatus is the status over all replicas. Its JSON is what status -o
// json prints: field names are an interface.
type clusterStatus struct {
	Namespace string          `json:"namespace"`
	Now       time.Time       `json:"now"`
	Paused    string          `json:"paused,omitempty"` // why no Ingress is rewritten
	Config    clusterConfig   `json:"config"`
	Replicas  []replicaStatus `json:"replicas"` // by pod
	Services  []serviceStatus `json:"services"` // by name
}

// clusterConfig is the ConfigMap as it is now.
type clusterConfig struct {
	Source   string   `json:"source"`
	Digest   string   `json:"digest"`             // "" when it is invalid or missing
	Problems []string `json:"problems,omitempty"` // then
	InSync   bool     `json:"in_sync"`            // there are ready replicas, and all serve it
}

// replicaStatus is one replica, but for its services.
type replicaStatus struct {
	Pod     string         `json:"pod"`
	Ready   bool           `json:"ready"` // it gets traffic
	InSync  bool           `json:"in_sync"`
	Error   string         `json:"error,omitempty"` // why it does not tell
	Version string         `json:"version"`
	Config  *status.Config `json:"config,omitempty"`
	Nginx   *status.Nginx  `json:"nginx,omitempty"`
}

// serviceStatus is one service over all replicas, and for each of them.
type serviceStatus struct {
	status.Service
	Since    *time.Time      `json:"since,omitempty"` // of the phase, if the watcher tells it
	Replicas []replicaShares `json:"replicas"`
}

// replicaShares is one service in one replica.
type replicaShares struct {
	Pod      string       `json:"pod"`
	Share    float64      `json:"share_percent"`
	Observed *float64     `json:"observed_percent"`
	Phase    status.Phase `json:"phase"`
	Reason   string       `json:"reason,omitempty"`
}

// liveNames are the services of the cluster's ConfigMap, for completion: one
// that does not load has none.
func liveNames(cmd *cobra.Command, asked clusterOptions) []string {
	ctx, cancel := context.WithTimeout(cmd.Context(), askTimeout)
	defer cancel()
	cmd.SetContext(ctx)
	table, err := givenTable(cmd, nil, asked)
	if err != nil {
		return nil
	}
	return namesOf(table)
}

// askAll asks the API server, and all replicas by way of it.
func askAll(ctx context.Context, found *installation, only string) (statusReport, error) {
	replicas, err := found.replicas(ctx)
	if err != nil {
		return statusReport{}, err
	}
	state, err := found.state(ctx)
	if err != nil {
		return statusReport{}, err
	}
	_, text, err := found.migrationConfig(ctx)
	var table *migration.Table
	if err == nil {
		table, err = config.Load(found.object.String(), text)
	}
	document := newClusterStatus(found, replicas, table, state)
	if err != nil {
		document.Config.Problems = strings.Split(err.Error(), "\n")
	}
	if only != "" {
		document.Services = slices.DeleteFunc(document.Services, func(s serviceStatus) bool { return s.Name != only })
		if len(document.Services) == 0 {
			return statusReport{}, fmt.Errorf("there is no service %q; 'migration-proxy status' lists them", only)
		}
	}
	encoded, err := json.Marshal(document)
	return statusReport{encoded, document.page()}, err
}

func newClusterStatus(found *installation, replicas []kube.Replica, table *migration.Table, state status.Cluster) clusterStatus {
	document := clusterStatus{
		Namespace: found.namespace, Now: time.Now(), Paused: state.Paused,
		Config: clusterConfig{Source: found.object.String()},
	}
	if table != nil {
		document.Config.Digest = table.Digest()
	}
	for _, replica := range replicas {
		document.Replicas = append(document.Replicas, document.replica(replica))
	}
	ready, inSync := document.ready()
	document.Config.InSync = ready > 0 && inSync == ready
	document.Services = services(replicas, table, state)
	return document
}

// ready counts the replicas that get traffic, and those of them that serve the
// config: one that gets none delays nobody.
func (d *clusterStatus) ready() (ready, inSync int) {
	for _, replica := range d.Replicas {
		if replica.Ready {
			ready++
			if replica.InSync {
				inSync++
			}
		}
	}
	return ready, inSync
}

func (d *clusterStatus) replica(replica kube.Replica) replicaStatus {
	row := replicaStatus{Pod: replica.Pod, Ready: replica.Ready}
	if replica.Err != nil {
		row.Error = replica.Err.Error()
		return row
	}
	own := replica.Status
	row.Version, row.Config, row.Nginx = own.Version, &own.Config, &own.Nginx
	row.InSync = d.Config.Digest != "" && own.Config.Digest == d.Config.Digest
	return row
}

// services are those of the config and those that a replica serves.
func services(replicas []kube.Replica, table *migration.Table, state status.Cluster) []serviceStatus {
	all := map[string]*serviceStatus{}
	if table != nil {
		for _, s := range table.Services() {
			all[string(s.Name)] = &serviceStatus{Service: desired(s)}
		}
	}
	for _, replica := range replicas {
		for _, s := range replica.Status.Services {
			if all[s.Name] == nil {
				all[s.Name] = &serviceStatus{Service: status.Service{Name: s.Name, OldHost: s.OldHost, PathPrefix: s.PathPrefix, Strategy: s.Strategy, Share: s.Share}}
			}
			all[s.Name].add(replica.Pod, s)
		}
	}
	rows := make([]serviceStatus, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		all[name].judge(state)
		rows = append(rows, *all[name])
	}
	return rows
}

func desired(s migration.Service) status.Service {
	return status.Service{
		Name: string(s.Name), OldHost: string(s.OldHost), PathPrefix: string(s.PathPrefix), Strategy: string(s.Strategy),
		Share: s.EffectiveShare().Percent(),
		Old:   status.Side{Backend: s.OldBackend.String()}, New: status.Side{Backend: s.NewBackend.String()},
	}
}

// add enters one replica's row. Its phase is everybody's unless another one's
// is worse.
func (s *serviceStatus) add(pod string, own status.Service) {
	s.Replicas = append(s.Replicas, replicaShares{pod, own.Share, own.Observed, own.Phase, own.Reason})
	s.Observed = mean(s.Observed, traffic(s.Service), own.Observed, traffic(own))
	s.Old, s.New = sum(s.Old, own.Old), sum(s.New, own.New)
	if own.Phase.WorseThan(s.Phase) {
		s.Phase, s.Reason = own.Phase, own.Reason
	}
}

// judge takes the watcher's word for the cluster, which decides what becomes
// of the Ingresses.
func (s *serviceStatus) judge(state status.Cluster) {
	known, ok := state.Services[s.Name]
	switch {
	case s.Phase == status.Disabled:
	case state.Paused != "":
		s.Phase, s.Reason = status.Bypassed, "paused: "+state.Paused
	case ok && !s.Phase.WorseThan(known.Phase):
		s.Phase, s.Reason, s.Since = known.Phase, cmp.Or(known.Reason, s.Reason), &known.Since
	case s.Phase == "":
		s.Phase, s.Reason = status.Bypassed, "no replica serves it"
	}
}

func traffic(s status.Service) float64 { return s.Old.Rate + s.New.Rate }

// sum adds a replica's side: requests add up, the part that failed and the
// median are means by requests, the 99th percentile is the worst.
func sum(a, b status.Side) status.Side {
	total := b
	total.Rate = a.Rate + b.Rate
	total.Rescued = a.Rescued + b.Rescued
	total.P99 = max(a.P99, b.P99)
	if total.Rate > 0 {
		total.Failed = (a.Failed*a.Rate + b.Failed*b.Rate) / total.Rate
		total.P50 = (a.P50*a.Rate + b.P50*b.Rate) / total.Rate
	}
	total.Unresolved = cmp.Or(a.Unresolved, b.Unresolved)
	return total
}

func mean(a *float64, weightA float64, b *float64, weightB float64) *float64 {
	switch {
	case a == nil:
		return b
	case b == nil || weightA+weightB == 0:
		return a
	}
	return new((*a*weightA + *b*weightB) / (weightA + weightB))
}

package desiredstate

import (
	"maps"
	"reflect"

	corev1 "k8s.io/api/core/v1"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// State is what the reconcilers work towards: an immutable copy of the
// result of the state loop. The revision grows with each.
type State struct {
	Revision uint64
	Table    *migration.Table // nil: no config was ever valid
	Cluster  status.Cluster
	// OnItsWay tells that a ready replica does not serve Table yet. It may do with an Ingress
	// what the config before said, so none is switched to the proxy for the first time.
	OnItsWay bool

	ConfigMap *corev1.ConfigMap // what Events about services are on; nil: it does not exist
}

// View is the desired state as package ingressgen takes it.
func (d *State) View() ingressgen.View {
	return ingressgen.View{Table: d.Table, State: d.Cluster}
}

// Diff is what differs between two desired states, as far as it may
// change an Ingress.
type Diff struct {
	Everything bool
	Services   map[migration.Name]struct{}
	// Hosts are those of services that are new, removed or have another host,
	// path or backend: an Ingress that matched no service may match now.
	Hosts map[migration.Host]struct{}
}

// Empty tells whether the difference changes no Ingress.
func (d Diff) Empty() bool { return !d.Everything && len(d.Services) == 0 }

// Compare compares two desired states. Everything differs from no state.
func Compare(before, after *State) Diff {
	d := Diff{Services: map[migration.Name]struct{}{}, Hosts: map[migration.Host]struct{}{}}
	if before == nil || (before.Table == nil) != (after.Table == nil) || before.Cluster.Paused != after.Cluster.Paused {
		d.Everything = true
		return d
	}
	d.addTables(before.Table, after.Table)
	d.addClusters(before.Cluster, after.Cluster)
	return d
}

func (d Diff) addTables(before, after *migration.Table) {
	if before == after {
		return
	}
	for i := range after.Services() {
		service := &after.Services()[i]
		d.addService(before.Service(service.Name), service)
	}
	for i := range before.Services() {
		if service := &before.Services()[i]; after.Service(service.Name) == nil {
			d.addRouting(service)
		}
	}
}

func (d Diff) addService(before, after *migration.Service) {
	if before == nil {
		d.addRouting(after)
		return
	}
	if before.Share != after.Share || before.Enabled != after.Enabled {
		d.Services[after.Name] = struct{}{}
	}
	sameShare := *before
	sameShare.Share, sameShare.Enabled, sameShare.Ramp = after.Share, after.Enabled, after.Ramp
	if !reflect.DeepEqual(&sameShare, after) {
		d.addRouting(before)
		d.addRouting(after)
	}
}

func (d Diff) addRouting(service *migration.Service) {
	d.Services[service.Name] = struct{}{}
	d.Hosts[service.OldHost] = struct{}{}
}

func (d Diff) addClusters(before, after status.Cluster) {
	for name, service := range after.Services {
		if service != before.Services[name] {
			d.Services[migration.Name(name)] = struct{}{}
		}
	}
	for name := range before.Services {
		if _, ok := after.Services[name]; !ok {
			d.Services[migration.Name(name)] = struct{}{}
		}
	}
}

// SameServices compares what is stored, which Paused is not.
func SameServices(a, b status.Cluster) bool {
	return maps.Equal(a.Services, b.Services)
}

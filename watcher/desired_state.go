package watcher

import (
	"maps"
	"reflect"

	corev1 "k8s.io/api/core/v1"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// desiredState is what the reconcilers work towards: an immutable copy of the
// result of the state loop. The revision grows with each.
type desiredState struct {
	revision uint64
	table    *migration.Table // nil: no config was ever valid
	cluster  status.Cluster

	configMap *corev1.ConfigMap // what Events about services are on; nil: it does not exist
}

// view is the desired state as package ingressgen takes it.
func (d *desiredState) view() ingressgen.View {
	return ingressgen.View{Table: d.table, State: d.cluster}
}

// stateDiff is what differs between two desired states, as far as it may
// change an Ingress.
type stateDiff struct {
	everything bool
	services   map[migration.Name]struct{}
	// hosts are those of services that are new, removed or have another host,
	// path or backend: an Ingress that matched no service may match now.
	hosts map[migration.Host]struct{}
}

func (d stateDiff) empty() bool { return !d.everything && len(d.services) == 0 }

// diffStates compares two desired states. Everything differs from no state.
func diffStates(before, after *desiredState) stateDiff {
	d := stateDiff{services: map[migration.Name]struct{}{}, hosts: map[migration.Host]struct{}{}}
	if before == nil || (before.table == nil) != (after.table == nil) || before.cluster.Paused != after.cluster.Paused {
		d.everything = true
		return d
	}
	d.addTables(before.table, after.table)
	d.addClusters(before.cluster, after.cluster)
	return d
}

func (d stateDiff) addTables(before, after *migration.Table) {
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

func (d stateDiff) addService(before, after *migration.Service) {
	if before == nil {
		d.addRouting(after)
		return
	}
	if before.Share != after.Share || before.Enabled != after.Enabled {
		d.services[after.Name] = struct{}{}
	}
	sameShare := *before
	sameShare.Share, sameShare.Enabled, sameShare.Ramp = after.Share, after.Enabled, after.Ramp
	if !reflect.DeepEqual(&sameShare, after) {
		d.addRouting(before)
		d.addRouting(after)
	}
}

func (d stateDiff) addRouting(service *migration.Service) {
	d.services[service.Name] = struct{}{}
	d.hosts[service.OldHost] = struct{}{}
}

func (d stateDiff) addClusters(before, after status.Cluster) {
	for name, service := range after.Services {
		if service != before.Services[name] {
			d.services[migration.Name(name)] = struct{}{}
		}
	}
	for name := range before.Services {
		if _, ok := after.Services[name]; !ok {
			d.services[migration.Name(name)] = struct{}{}
		}
	}
}

// equalStates compares what is stored, which Paused is not.
func equalStates(a, b status.Cluster) bool {
	return maps.Equal(a.Services, b.Services)
}

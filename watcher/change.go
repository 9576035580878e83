package watcher

import (
	"maps"
	"reflect"
	"slices"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// view is what Ingresses are judged by: one immutable snapshot of the owner's
// state. The version grows with each.
type view struct {
	version uint64
	table   *migration.Table // nil: no config was ever valid
	state   status.Cluster
}

func (v *view) ingressgen() ingressgen.View {
	return ingressgen.View{Table: v.table, State: v.state, CreatesService: true}
}

// change is what differs between two views, as far as an Ingress may care.
type change struct {
	everything bool
	services   map[migration.Name]struct{}
	// hosts are those of services that are new, gone or of another shape: an
	// Ingress that matched nothing may match now.
	hosts map[migration.Host]struct{}
}

func (c change) empty() bool { return !c.everything && len(c.services) == 0 }

// changed tells what differs between two views.
func changed(before, after *view) change {
	c := change{services: map[migration.Name]struct{}{}, hosts: map[migration.Host]struct{}{}}
	if before == nil || (before.table == nil) != (after.table == nil) || before.state.Paused != after.state.Paused {
		c.everything = true
		return c
	}
	c.tables(before.table, after.table)
	c.states(before.state, after.state)
	return c
}

func (c change) tables(before, after *migration.Table) {
	if before == after {
		return
	}
	for i := range after.Services() {
		service := &after.Services()[i]
		c.compare(before.Service(service.Name), service)
	}
	for i := range before.Services() {
		if service := &before.Services()[i]; after.Service(service.Name) == nil {
			c.shape(service)
		}
	}
}

func (c change) compare(before, after *migration.Service) {
	if before == nil {
		c.shape(after)
		return
	}
	if before.Share != after.Share || before.Enabled != after.Enabled {
		c.services[after.Name] = struct{}{}
	}
	plain := *before
	plain.Share, plain.Enabled = after.Share, after.Enabled
	if !reflect.DeepEqual(&plain, after) {
		c.shape(before)
		c.shape(after)
	}
}

func (c change) shape(service *migration.Service) {
	c.services[service.Name] = struct{}{}
	c.hosts[service.OldHost] = struct{}{}
}

func (c change) states(before, after status.Cluster) {
	for name, service := range after.Services {
		if service != before.Services[name] {
			c.services[migration.Name(name)] = struct{}{}
		}
	}
	for name := range before.Services {
		if _, ok := after.Services[name]; !ok {
			c.services[migration.Name(name)] = struct{}{}
		}
	}
}

// sameState ignores what is not written: Paused.
func sameState(a, b status.Cluster) bool {
	return maps.Equal(a.Services, b.Services) && slices.Equal(a.Namespaces, b.Namespaces)
}

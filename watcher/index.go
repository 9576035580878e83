package watcher

import (
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// outcome is what became of one Ingress under one view.
type outcome struct {
	key      types.NamespacedName
	version  uint64 // of the view
	gone     bool   // it has not opted in, or is not there; the rest does not count
	services []migration.Name
	hosts    []migration.Host
	phase    status.Phase
}

// outcomeOf is what must be known of an Ingress to find it again when a
// service changes: what it matched, what it names, and its hosts.
func outcomeOf(ingress *networkingv1.Ingress, report ingressgen.Report, version uint64) outcome {
	o := outcome{
		key: keyOf(ingress), version: version, phase: report.Phase, gone: report.Phase == "",
		services: slices.Clone(report.Services),
	}
	if named := ingress.Annotations[ingressgen.AnnotationService]; named != "" {
		o.services = append(o.services, migration.Name(named))
	}
	for i := range ingress.Spec.Rules {
		o.hosts = append(o.hosts, migration.Host(ingress.Spec.Rules[i].Host))
	}
	return o
}

type keys map[types.NamespacedName]struct{}

// index finds the Ingresses that a change concerns. It only spares work: it is
// filled by looking at every Ingress once.
type index struct {
	outcomes  map[types.NamespacedName]outcome
	byService map[migration.Name]keys
	byHost    map[migration.Host]keys
}

func newIndex() *index {
	return &index{
		outcomes:  map[types.NamespacedName]outcome{},
		byService: map[migration.Name]keys{},
		byHost:    map[migration.Host]keys{},
	}
}

func (x *index) put(o outcome) {
	before := x.outcomes[o.key]
	for _, service := range before.services {
		drop(x.byService, service, o.key)
	}
	for _, host := range before.hosts {
		drop(x.byHost, host, o.key)
	}
	if o.gone {
		delete(x.outcomes, o.key)
		return
	}
	x.outcomes[o.key] = o
	for _, service := range o.services {
		add(x.byService, service, o.key)
	}
	for _, host := range o.hosts {
		add(x.byHost, host, o.key)
	}
}

func add[K comparable](of map[K]keys, at K, key types.NamespacedName) {
	if of[at] == nil {
		of[at] = keys{}
	}
	of[at][key] = struct{}{}
}

func drop[K comparable](of map[K]keys, at K, key types.NamespacedName) {
	delete(of[at], key)
	if len(of[at]) == 0 {
		delete(of, at)
	}
}

// find gives the Ingresses that a change concerns, each once.
func (x *index) find(c change) keys {
	found := keys{}
	if c.everything {
		for key := range x.outcomes {
			found[key] = struct{}{}
		}
		return found
	}
	for service := range c.services {
		merge(found, x.byService[service])
	}
	for host := range c.hosts {
		merge(found, x.byHost[host])
	}
	return found
}

func merge(into, from keys) {
	for key := range from {
		into[key] = struct{}{}
	}
}

// phases counts the Ingresses by phase.
func (x *index) phases() map[status.Phase]int {
	count := map[status.Phase]int{}
	for _, o := range x.outcomes {
		count[o.phase]++
	}
	return count
}

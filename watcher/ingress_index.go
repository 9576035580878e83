package watcher

import (
	"maps"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// reconciledIngress is the result of reconciling one Ingress: what must be
// known to find it again when a service changes.
type reconciledIngress struct {
	key      types.NamespacedName
	revision uint64 // of the desired state
	gone     bool   // it has not opted in, or does not exist; the other fields are not set
	services []migration.Name
	hosts    []migration.Host
	phase    status.Phase
}

// newReconciledIngress takes the services that the Ingress matches, the one
// that its annotation names, and its hosts.
func newReconciledIngress(ingress *networkingv1.Ingress, report ingressgen.Report, revision uint64) reconciledIngress {
	r := reconciledIngress{
		key: kube.KeyOf(ingress), revision: revision, phase: report.Phase, gone: report.Phase == "",
		services: slices.Clone(report.Services),
	}
	if named := ingress.Annotations[ingressgen.AnnotationService]; named != "" {
		r.services = append(r.services, migration.Name(named))
	}
	for i := range ingress.Spec.Rules {
		r.hosts = append(r.hosts, migration.Host(ingress.Spec.Rules[i].Host))
	}
	return r
}

type keySet map[types.NamespacedName]struct{}

// ingressIndex finds the Ingresses that a change may concern, so that not all
// are reconciled again. Each Ingress enters it when it is first reconciled.
type ingressIndex struct {
	ingresses map[types.NamespacedName]reconciledIngress
	byService map[migration.Name]keySet
	byHost    map[migration.Host]keySet
}

func newIngressIndex() *ingressIndex {
	return &ingressIndex{
		ingresses: map[types.NamespacedName]reconciledIngress{},
		byService: map[migration.Name]keySet{},
		byHost:    map[migration.Host]keySet{},
	}
}

// put replaces what is known of an Ingress.
func (x *ingressIndex) put(r reconciledIngress) {
	before := x.ingresses[r.key]
	for _, service := range before.services {
		drop(x.byService, service, r.key)
	}
	for _, host := range before.hosts {
		drop(x.byHost, host, r.key)
	}
	if r.gone {
		delete(x.ingresses, r.key)
		return
	}
	x.ingresses[r.key] = r
	for _, service := range r.services {
		add(x.byService, service, r.key)
	}
	for _, host := range r.hosts {
		add(x.byHost, host, r.key)
	}
}

func add[K comparable](index map[K]keySet, at K, key types.NamespacedName) {
	if index[at] == nil {
		index[at] = keySet{}
	}
	index[at][key] = struct{}{}
}

func drop[K comparable](index map[K]keySet, at K, key types.NamespacedName) {
	delete(index[at], key)
	if len(index[at]) == 0 {
		delete(index, at)
	}
}

// affectedBy returns the Ingresses that a difference may change.
func (x *ingressIndex) affectedBy(d stateDiff) keySet {
	affected := keySet{}
	if d.everything {
		for key := range x.ingresses {
			affected[key] = struct{}{}
		}
		return affected
	}
	for service := range d.services {
		maps.Copy(affected, x.byService[service])
	}
	for host := range d.hosts {
		maps.Copy(affected, x.byHost[host])
	}
	return affected
}

// phases counts the Ingresses by phase.
func (x *ingressIndex) phases() map[status.Phase]int {
	count := map[status.Phase]int{}
	for _, ingress := range x.ingresses {
		count[ingress.phase]++
	}
	return count
}

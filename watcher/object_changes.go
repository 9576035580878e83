package watcher

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/names"
)

// objectChanges queues what must be reconciled after a change of an object.
// The types below are the observers of the stores, one for each.
type objectChanges struct {
	stores    *objectStores
	ingresses *workQueue
	services  *workQueue
	polls     *pollSchedule
	events    *eventWriter
}

type ingressChanges struct{ *objectChanges }

// Changed implements kube.Observer. The Ingress may be a companion, so that
// its main Ingress is reconciled, too.
func (c ingressChanges) Changed(before, after *networkingv1.Ingress) {
	ingress := latest(before, after)
	key := kube.KeyOf(ingress)
	c.queueNeighbors(before, after)
	if !isRelevant(before) && !isRelevant(after) {
		if after == nil { // it may have had the name that a companion needs
			c.ingresses.Add(mainOf(key))
		}
		return
	}
	c.ingresses.Add(key)
	c.ingresses.Add(mainOf(key))
	c.services.Add(types.NamespacedName{Namespace: key.Namespace, Name: names.ProxyService})
	if isOurs(ingress) {
		c.services.Add(kube.KeyOf(ingressgen.CompanionService(ingress)))
		return
	}
	c.announce(before, after)
}

// announce writes an Event for a transition of an Ingress, but for none that
// the first list shows.
func (c ingressChanges) announce(before, after *networkingv1.Ingress) {
	select {
	case <-c.stores.ingresses.Listed():
	default:
		return
	}
	if transition, ok := transitionEvent(before, after); ok {
		c.events.write(after, transition)
	}
}

type classChanges struct{ *objectChanges }

// Changed implements kube.Observer: Ingresses of the class may have another
// controller now, and so other neighbors. Classes change rarely, so all
// Ingresses are reconciled.
func (c classChanges) Changed(_, _ *networkingv1.IngressClass) {
	for _, ingress := range c.stores.ingresses.List() {
		if isAnnotated(ingress) {
			c.ingresses.Add(kube.KeyOf(ingress))
		}
	}
}

type proxyServiceChanges struct{ *objectChanges }

// Changed implements kube.Observer: ours is repaired. When a foreign Service
// takes or frees the name, the Ingresses of its namespace are reconciled.
func (c proxyServiceChanges) Changed(before, after *corev1.Service) {
	service := latest(before, after)
	c.services.Add(kube.KeyOf(service))
	if before != nil && after != nil && isOurs(before) == isOurs(after) {
		return
	}
	for _, ingress := range c.stores.ingresses.InNamespace(service.Namespace) {
		if isRelevant(ingress) {
			c.ingresses.Add(kube.KeyOf(ingress))
		}
	}
}

type companionServiceChanges struct{ *objectChanges }

// Changed implements kube.Observer: the Service is repaired, and its Ingress
// makes it again when it is deleted.
func (c companionServiceChanges) Changed(before, after *corev1.Service) {
	service := latest(before, after)
	c.services.Add(kube.KeyOf(service))
	if after != nil {
		return
	}
	for _, owner := range service.OwnerReferences {
		c.ingresses.Add(types.NamespacedName{Namespace: service.Namespace, Name: owner.Name})
	}
}

type chartSliceChanges struct{ *objectChanges }

// Changed implements kube.Observer: the endpoints of the chart's Service are
// those of all our Services, and the replicas.
func (c chartSliceChanges) Changed(_, _ *discoveryv1.EndpointSlice) {
	for _, store := range []*kube.Store[*corev1.Service]{c.stores.proxyServices, c.stores.companionServices} {
		for _, service := range store.List() {
			if isOurs(service) {
				c.services.Add(kube.KeyOf(service))
			}
		}
	}
	c.polls.pollNow()
}

type ownSliceChanges struct{ *objectChanges }

// Changed implements kube.Observer: the slice is repaired.
func (c ownSliceChanges) Changed(before, after *discoveryv1.EndpointSlice) {
	slice := latest(before, after)
	c.services.Add(types.NamespacedName{Namespace: slice.Namespace, Name: slice.Labels[discoveryv1.LabelServiceName]})
}

// latest is the object after a change, or before it if it was deleted.
func latest[T any](before, after *T) *T {
	if after != nil {
		return after
	}
	return before
}

package watcher

import (
	"maps"
	"slices"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/watcher/clusterjournal"
	"github.com/migration-proxy/migration-proxy/watcher/desiredstate"
	"github.com/migration-proxy/migration-proxy/watcher/events"
)

// objectChanges queues what must be reconciled after a change of an object.
// The types below are the observers of the stores, one for each.
type objectChanges struct {
	stores    *objectStores
	ingresses *workQueue
	services  *workQueue
	polls     *pollSchedule
	events    *events.Writer
	journal   *clusterjournal.Writer
	desired   *atomic.Pointer[desiredstate.State]
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
	c.queueServices(key.Namespace, servicesOf(before))
	c.queueServices(key.Namespace, servicesOf(after))
	if ingressgen.IsAnchor(ingress) {
		return
	}
	c.ingresses.Add(key)
	c.ingresses.Add(mainOf(key))
	if !isOurs(ingress) {
		c.announce(before, after)
	}
}

func (c *objectChanges) queueServices(namespace string, services []string) {
	for _, service := range services {
		c.services.Add(types.NamespacedName{Namespace: namespace, Name: service})
	}
}

// announce writes an Event and an entry of the journal for a transition of an Ingress,
// but for none that the first list shows.
func (c ingressChanges) announce(before, after *networkingv1.Ingress) {
	select {
	case <-c.stores.ingresses.Listed():
	default:
		return
	}
	transition, ok := events.Transition(before, after)
	if !ok {
		c.record(before, after, nil)
		return
	}
	c.events.Write(after, transition)
	c.record(before, after, &transition)
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

type serviceChanges struct{ *objectChanges }

// Changed implements kube.Observer. Ours is repaired. When another one comes, goes
// or changes, its proxy Services take over what it says, and the Ingresses that
// name it are reconciled: a named port may be known now, or a name be free.
func (c serviceChanges) Changed(before, after *corev1.Service) {
	service := latest(before, after)
	ours := ingressgen.IsGeneratedService(service)
	if ours {
		c.services.Add(kube.KeyOf(service))
	}
	if ours && after != nil && before != nil && ingressgen.IsGeneratedService(before) || sameForeign(before, after) {
		return
	}
	for _, ingress := range c.stores.ingresses.By(indexName, kube.KeyOf(service).String()) {
		c.ingresses.Add(kube.KeyOf(ingress))
		c.queueServices(service.Namespace, servicesOf(ingress))
	}
}

// sameForeign reports whether nothing that is kept of a foreign Service changed.
func sameForeign(before, after *corev1.Service) bool {
	return before != nil && after != nil && !ingressgen.IsGeneratedService(before) && !ingressgen.IsGeneratedService(after) &&
		before.Spec.Type == after.Spec.Type && maps.Equal(before.Annotations, after.Annotations) && slices.EqualFunc(before.Spec.Ports, after.Spec.Ports, samePort)
}

func samePort(a, b corev1.ServicePort) bool {
	return a.Name == b.Name && a.Port == b.Port && a.TargetPort == b.TargetPort
}

type chartSliceChanges struct{ *objectChanges }

// Changed implements kube.Observer: the endpoints of the chart's Service are
// those of all our Services, and the replicas.
func (c chartSliceChanges) Changed(_, _ *discoveryv1.EndpointSlice) {
	c.queueAllServices()
	c.polls.pollNow()
}

// queueAllServices queues all our Services, because the endpoints of all change.
func (c *objectChanges) queueAllServices() {
	for _, service := range c.stores.services.List() {
		if ingressgen.IsGeneratedService(service) {
			c.services.Add(kube.KeyOf(service))
		}
	}
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

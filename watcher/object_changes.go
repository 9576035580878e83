package watcher

import (
	"cmp"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/watcher/events"
	"github.com/migration-proxy/migration-proxy/watcher/objects"
	"github.com/migration-proxy/migration-proxy/watcher/reconcile"
)

// objectChanges queues what must be reconciled after a change of an object.
// The types below are the observers of the stores, one for each.
type objectChanges struct {
	stores  *objects.Stores
	queues  reconcile.Queues
	polls   *pollSchedule
	events  *events.Writer
	journal ingressJournal
}

func (c *objectChanges) observers() objects.Observers {
	return objects.Observers{
		Ingresses: ingressChanges{c}, Classes: classChanges{c}, Services: serviceChanges{c},
		ChartSlices: chartSliceChanges{c}, OwnSlices: ownSliceChanges{c},
	}
}

type ingressChanges struct{ *objectChanges }

// Changed implements kube.Observer. The Ingress may be a companion, so that
// its main Ingress is reconciled, too.
func (c ingressChanges) Changed(before, after *networkingv1.Ingress) {
	ingress := cmp.Or(after, before)
	key := kube.KeyOf(ingress)
	c.queueNeighbors(before, after)
	if !objects.IsRelevant(before) && !objects.IsRelevant(after) {
		if after == nil { // it may have had the name that a companion needs
			c.queues.Ingresses.Add(objects.MainOf(key))
		}
		return
	}
	c.queueServices(key.Namespace, objects.ServicesOf(before))
	c.queueServices(key.Namespace, objects.ServicesOf(after))
	if ingressgen.IsAnchor(ingress) {
		return
	}
	c.queues.Ingresses.Add(key)
	c.queues.Ingresses.Add(objects.MainOf(key))
	if !objects.IsOurs(ingress) {
		c.announce(before, after)
	}
}

func (c *objectChanges) queueServices(namespace string, services []string) {
	for _, service := range services {
		c.queues.Services.Add(types.NamespacedName{Namespace: namespace, Name: service})
	}
}

// announce writes an Event and an entry of the journal for a transition of an Ingress,
// but for none that the first list shows.
func (c ingressChanges) announce(before, after *networkingv1.Ingress) {
	select {
	case <-c.stores.Ingresses.Listed():
	default:
		return
	}
	transition, ok := events.Transition(before, after)
	if !ok {
		c.journal.record(before, after, nil)
		return
	}
	c.events.Write(after, transition)
	c.journal.record(before, after, &transition)
}

type classChanges struct{ *objectChanges }

// Changed implements kube.Observer: Ingresses of the class may have another
// controller now, and so other neighbors. Classes change rarely, so all
// Ingresses are reconciled.
func (c classChanges) Changed(_, _ *networkingv1.IngressClass) {
	for _, ingress := range c.stores.Ingresses.List() {
		if objects.IsAnnotated(ingress) {
			c.queues.Ingresses.Add(kube.KeyOf(ingress))
		}
	}
}

type serviceChanges struct{ *objectChanges }

// Changed implements kube.Observer. Ours is repaired. When another one comes, goes
// or changes, its proxy Services take over what it says, and the Ingresses that
// name it are reconciled: a named port may be known now, or a name be free.
func (c serviceChanges) Changed(before, after *corev1.Service) {
	service := cmp.Or(after, before)
	ours := ingressgen.IsGeneratedService(service)
	if ours {
		c.queues.Services.Add(kube.KeyOf(service))
	}
	if ours && after != nil && before != nil && ingressgen.IsGeneratedService(before) || sameForeign(before, after) {
		return
	}
	for _, ingress := range c.stores.Ingresses.By(objects.IndexName, kube.KeyOf(service).String()) {
		c.queues.Ingresses.Add(kube.KeyOf(ingress))
		c.queueServices(service.Namespace, objects.ServicesOf(ingress))
	}
}

// sameForeign reports whether nothing that is kept of a foreign Service changed.
func sameForeign(before, after *corev1.Service) bool {
	return before != nil && after != nil && !ingressgen.IsGeneratedService(before) && !ingressgen.IsGeneratedService(after) &&
		before.Spec.Type == after.Spec.Type && maps.Equal(before.Annotations, after.Annotations) && slices.EqualFunc(before.Spec.Ports, after.Spec.Ports, samePort)
}

func samePort(a, b corev1.ServicePort) bool {
	return a.Name == b.Name && a.Port == b.Port && a.TargetPort == b.TargetPort && equality.Semantic.DeepEqual(a.AppProtocol, b.AppProtocol)
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
	for _, service := range c.stores.Services.List() {
		if ingressgen.IsGeneratedService(service) {
			c.queues.Services.Add(kube.KeyOf(service))
		}
	}
}

type ownSliceChanges struct{ *objectChanges }

// Changed implements kube.Observer: the slice is repaired.
func (c ownSliceChanges) Changed(before, after *discoveryv1.EndpointSlice) {
	slice := cmp.Or(after, before)
	c.queues.Services.Add(types.NamespacedName{Namespace: slice.Namespace, Name: slice.Labels[discoveryv1.LabelServiceName]})
}

// queueNeighbors queues the Ingresses whose canary or paths a change of another may
// forbid or allow again.
func (c *objectChanges) queueNeighbors(before, after *networkingv1.Ingress) {
	if before != nil && after != nil && ingressgen.SameToNeighbors(before, after) {
		return
	}
	for _, one := range []*networkingv1.Ingress{before, after} {
		if one == nil {
			continue
		}
		for _, key := range objects.BackendKeys(one) {
			c.queueOptedIn(c.stores.Ingresses.By(objects.IndexBackend, key))
		}
		for _, host := range ingressgen.HostsOf(one) {
			c.queueOptedIn(c.stores.Ingresses.By(objects.IndexHost, host))
		}
	}
}

func (c *objectChanges) queueOptedIn(ingresses []*networkingv1.Ingress) {
	for _, ingress := range ingresses {
		if ingressgen.OptedIn(ingress) {
			c.queues.Ingresses.Add(kube.KeyOf(ingress))
		}
	}
}

package watcher

import (
	"slices"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/kube"
)

// The indexes of the store of Ingresses.
const (
	indexBackend = "backend"       // NAMESPACE/SERVICE:PORT: ingressgen.UsedBackends
	indexCanary  = "canary host"   // ingressgen.CanaryHosts
	indexLoosens = "loosened host" // ingressgen.LoosenedHosts
	indexHost    = "host"          // ingressgen.HostsOf
	indexService = "service"       // NAMESPACE/SERVICE of ours: servicesOf
	indexName    = "name"          // NAMESPACE/SERVICE of anybody: namesOf
)

func newIngressStore(failures *kube.FailureLog) *kube.Store[*networkingv1.Ingress] {
	store := kube.NewStore("ingresses", trimIngress, failures)
	store.IndexBy(indexBackend, backendKeys)
	store.IndexBy(indexCanary, ingressgen.CanaryHosts)
	store.IndexBy(indexLoosens, ingressgen.LoosenedHosts)
	store.IndexBy(indexService, func(ingress *networkingv1.Ingress) []string { return keysIn(ingress.Namespace, servicesOf(ingress)) })
	store.IndexBy(indexName, func(ingress *networkingv1.Ingress) []string { return keysIn(ingress.Namespace, namesOf(ingress)) })
	store.IndexBy(indexHost, ingressgen.HostsOf)
	return store
}

func keysIn(namespace string, names []string) []string {
	var keys []string
	for _, name := range names {
		keys = append(keys, namespace+"/"+name)
	}
	return keys
}

// servicesOf are our Services that belong to the Ingress: those that it needs, or
// those that it was made for.
func servicesOf(ingress *networkingv1.Ingress) []string {
	switch {
	case !isRelevant(ingress):
		return nil
	case ingressgen.IsAnchor(ingress):
		return []string{ingressgen.AnchoredService(ingress)}
	case isOurs(ingress):
		return []string{companionService(ingress)}
	}
	return ingressgen.ProxiesOf(ingress)
}

// namesOf are the Services whose existence and content decide about an Ingress that
// may be migrated: those that its user names, and the names that ours will have.
func namesOf(ingress *networkingv1.Ingress) []string {
	if !isRelevant(ingress) || isOurs(ingress) {
		return nil
	}
	names := append(ingressgen.ProxiesOf(ingress), ingressgen.CompanionServiceName(ingress.Name))
	for _, old := range ingressgen.UsedBackends(ingress) {
		names = append(names, old.Name)
	}
	return names
}

func backendKeys(ingress *networkingv1.Ingress) []string {
	var keys []string
	for _, backend := range ingressgen.UsedBackends(ingress) {
		keys = append(keys, backendKey(ingress.Namespace, backend))
	}
	return keys
}

func backendKey(namespace string, backend networkingv1.IngressServiceBackend) string {
	return namespace + "/" + backend.Name + ":" + backend.Port.String()
}

// neighbors finds the neighbors of one Ingress.
type neighbors struct {
	stores  *objectStores
	ingress *networkingv1.Ingress
}

// UsersOf implements ingressgen.NeighborLookup.
func (n neighbors) UsersOf(backend networkingv1.IngressServiceBackend) []*networkingv1.Ingress {
	return n.only(n.stores.ingresses.By(indexBackend, backendKey(n.ingress.Namespace, backend)))
}

// CanariesAt implements ingressgen.NeighborLookup.
func (n neighbors) CanariesAt(host string) []*networkingv1.Ingress {
	return n.only(n.stores.ingresses.By(indexCanary, host))
}

// LoosenersAt implements ingressgen.NeighborLookup.
func (n neighbors) LoosenersAt(host string) []*networkingv1.Ingress {
	return n.only(n.stores.ingresses.By(indexLoosens, host))
}

// IngressesAt implements ingressgen.NeighborLookup.
func (n neighbors) IngressesAt(host string) []*networkingv1.Ingress {
	return n.only(n.stores.ingresses.By(indexHost, host))
}

func (n neighbors) only(ingresses []*networkingv1.Ingress) []*networkingv1.Ingress {
	classes := n.stores.classes.List()
	return slices.DeleteFunc(ingresses, func(other *networkingv1.Ingress) bool {
		return !ingressgen.IsNeighbor(n.ingress, other, classes)
	})
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
		for _, key := range backendKeys(one) {
			c.queueOptedIn(c.stores.ingresses.By(indexBackend, key))
		}
		for _, host := range ingressgen.HostsOf(one) {
			c.queueOptedIn(c.stores.ingresses.By(indexHost, host))
		}
	}
}

func (c *objectChanges) queueOptedIn(ingresses []*networkingv1.Ingress) {
	for _, ingress := range ingresses {
		if ingressgen.OptedIn(ingress) {
			c.ingresses.Add(kube.KeyOf(ingress))
		}
	}
}

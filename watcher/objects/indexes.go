package objects

import (
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/kube"
)

// The indexes of the store of Ingresses.
const (
	IndexBackend = "backend"       // NAMESPACE/SERVICE:PORT: ingressgen.UsedBackends
	indexCanary  = "canary host"   // ingressgen.CanaryHosts
	indexLoosens = "loosened host" // ingressgen.LoosenedHosts
	IndexHost    = "host"          // ingressgen.HostsOf
	IndexService = "service"       // NAMESPACE/SERVICE of our Services: ServicesOf
	IndexName    = "name"          // NAMESPACE/SERVICE of any Services: namesOf
)

func newIngressStore(failures *kube.FailureLog) *kube.Store[*networkingv1.Ingress] {
	store := kube.NewStore("ingresses", trimIngress, failures)
	store.IndexBy(IndexBackend, BackendKeys)
	store.IndexBy(indexCanary, ingressgen.CanaryHosts)
	store.IndexBy(indexLoosens, ingressgen.LoosenedHosts)
	store.IndexBy(IndexService, func(ingress *networkingv1.Ingress) []string { return keysIn(ingress.Namespace, ServicesOf(ingress)) })
	store.IndexBy(IndexName, func(ingress *networkingv1.Ingress) []string { return keysIn(ingress.Namespace, namesOf(ingress)) })
	store.IndexBy(IndexHost, ingressgen.HostsOf)
	return store
}

func keysIn(namespace string, names []string) []string {
	var keys []string
	for _, name := range names {
		keys = append(keys, namespace+"/"+name)
	}
	return keys
}

// ServicesOf are our Services that belong to the Ingress: those that it needs, or
// those that it was made for.
func ServicesOf(ingress *networkingv1.Ingress) []string {
	switch {
	case !IsRelevant(ingress):
		return nil
	case ingressgen.IsAnchor(ingress):
		return []string{ingressgen.AnchoredService(ingress)}
	case IsOurs(ingress):
		return []string{CompanionService(ingress)}
	}
	return ingressgen.ProxiesOf(ingress)
}

// namesOf are the Services whose existence and content decide about an Ingress that
// may be migrated: those that its user names, and the names that ours will have.
func namesOf(ingress *networkingv1.Ingress) []string {
	if !IsRelevant(ingress) || IsOurs(ingress) {
		return nil
	}
	names := append(ingressgen.ProxiesOf(ingress), ingressgen.CompanionServiceName(ingress.Name))
	for _, old := range ingressgen.UsedBackends(ingress) {
		names = append(names, old.Name)
	}
	return names
}

// BackendKeys are the keys of IndexBackend under which an Ingress is found.
func BackendKeys(ingress *networkingv1.Ingress) []string {
	var keys []string
	for _, backend := range ingressgen.UsedBackends(ingress) {
		keys = append(keys, backendKey(ingress.Namespace, backend))
	}
	return keys
}

func backendKey(namespace string, backend networkingv1.IngressServiceBackend) string {
	return namespace + "/" + backend.Name + ":" + backend.Port.String()
}

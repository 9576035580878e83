package scan

import (
	"slices"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/ingressgen"
)

// index finds Ingresses by what they have in common.
type index struct {
	classes   []*networkingv1.IngressClass
	users     map[string][]*networkingv1.Ingress // by namespace and backend
	canaries  map[string][]*networkingv1.Ingress // by host
	looseners map[string][]*networkingv1.Ingress // by host
	hosts     map[string][]*networkingv1.Ingress // all
}

func newIndex(objects Objects) *index {
	x := &index{
		classes: objects.Classes, users: map[string][]*networkingv1.Ingress{},
		canaries: map[string][]*networkingv1.Ingress{}, looseners: map[string][]*networkingv1.Ingress{},
		hosts: map[string][]*networkingv1.Ingress{},
	}
	for _, ingress := range objects.Ingresses {
		for _, backend := range ingressgen.UsedBackends(ingress) {
			key := backendKey(ingress.Namespace, backend)
			x.users[key] = append(x.users[key], ingress)
		}
		for _, host := range ingressgen.CanaryHosts(ingress) {
			x.canaries[host] = append(x.canaries[host], ingress)
		}
		for _, host := range ingressgen.LoosenedHosts(ingress) {
			x.looseners[host] = append(x.looseners[host], ingress)
		}
		for _, host := range ingressgen.HostsOf(ingress) {
			x.hosts[host] = append(x.hosts[host], ingress)
		}
	}
	return x
}

// backendKey is a Service and port of a namespace. The port is as written.
func backendKey(namespace string, backend networkingv1.IngressServiceBackend) string {
	return namespace + "/" + portOf(backend)
}

// neighbors implements ingressgen.NeighborLookup for one Ingress.
type neighbors struct {
	*index
	ingress *networkingv1.Ingress
}

// UsersOf implements ingressgen.NeighborLookup.
func (n neighbors) UsersOf(backend networkingv1.IngressServiceBackend) []*networkingv1.Ingress {
	return n.only(n.users[backendKey(n.ingress.Namespace, backend)])
}

// CanariesAt implements ingressgen.NeighborLookup.
func (n neighbors) CanariesAt(host string) []*networkingv1.Ingress { return n.only(n.canaries[host]) }

// LoosenersAt implements ingressgen.NeighborLookup.
func (n neighbors) LoosenersAt(host string) []*networkingv1.Ingress { return n.only(n.looseners[host]) }

// IngressesAt implements ingressgen.NeighborLookup.
func (n neighbors) IngressesAt(host string) []*networkingv1.Ingress { return n.only(n.hosts[host]) }

func (n neighbors) only(ingresses []*networkingv1.Ingress) []*networkingv1.Ingress {
	return slices.DeleteFunc(slices.Clone(ingresses), func(other *networkingv1.Ingress) bool {
		return !ingressgen.IsNeighbor(n.ingress, other, n.classes)
	})
}

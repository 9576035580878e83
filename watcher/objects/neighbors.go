package objects

import (
	"slices"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/ingressgen"
)

// Neighbors finds the Neighbors of one Ingress.
type Neighbors struct {
	Stores  *Stores
	Ingress *networkingv1.Ingress
}

// UsersOf implements ingressgen.NeighborLookup.
func (n Neighbors) UsersOf(backend networkingv1.IngressServiceBackend) []*networkingv1.Ingress {
	return n.only(n.Stores.Ingresses.By(IndexBackend, backendKey(n.Ingress.Namespace, backend)))
}

// CanariesAt implements ingressgen.NeighborLookup.
func (n Neighbors) CanariesAt(host string) []*networkingv1.Ingress {
	return n.only(n.Stores.Ingresses.By(indexCanary, host))
}

// LoosenersAt implements ingressgen.NeighborLookup.
func (n Neighbors) LoosenersAt(host string) []*networkingv1.Ingress {
	return n.only(n.Stores.Ingresses.By(indexLoosens, host))
}

// IngressesAt implements ingressgen.NeighborLookup.
func (n Neighbors) IngressesAt(host string) []*networkingv1.Ingress {
	return n.only(n.Stores.Ingresses.By(IndexHost, host))
}

func (n Neighbors) only(ingresses []*networkingv1.Ingress) []*networkingv1.Ingress {
	classes := n.Stores.Classes.List()
	return slices.DeleteFunc(ingresses, func(other *networkingv1.Ingress) bool {
		return !ingressgen.IsNeighbor(n.Ingress, other, classes)
	})
}

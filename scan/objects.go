package scan

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/ingressgen"
)

// Objects are what a scan looks at. Nothing in it is changed.
type Objects struct {
	Ingresses []*networkingv1.Ingress
	Classes   []*networkingv1.IngressClass
	Services  map[types.NamespacedName]*corev1.Service // those that Ingresses name; others are not needed
}

// Trim removes from an Ingress what does not matter here. A cluster may have
// thousands.
func Trim(ingress *networkingv1.Ingress) {
	ingress.ManagedFields, ingress.OwnerReferences, ingress.Finalizers = nil, nil, nil
	ingress.Status = networkingv1.IngressStatus{}
}

// TrimService keeps the ports of a Service and how it is reached.
func TrimService(service *corev1.Service) *corev1.Service {
	trimmed := &corev1.Service{}
	trimmed.Spec.Type, trimmed.Spec.Ports, trimmed.Spec.ExternalName = service.Spec.Type, service.Spec.Ports, service.Spec.ExternalName
	return trimmed
}

// NamedServices are the Services that the Ingresses point at, or will point at when the
// migration proxy puts back what their users wrote.
func NamedServices(ingresses []*networkingv1.Ingress) map[types.NamespacedName]bool {
	named := map[types.NamespacedName]bool{}
	for _, ingress := range ingresses {
		for _, backend := range ingressgen.UsedBackends(ingress) {
			named[types.NamespacedName{Namespace: ingress.Namespace, Name: backend.Name}] = true
		}
	}
	return named
}

// oldestFirst sorts as ingress-nginx does when two Ingresses want the same host and
// path: the older one has it.
func oldestFirst(ingresses []*networkingv1.Ingress) []*networkingv1.Ingress {
	sorted := slices.Clone(ingresses)
	slices.SortStableFunc(sorted, func(a, b *networkingv1.Ingress) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), byName(a, b))
	})
	return sorted
}

func byName(a, b *networkingv1.Ingress) int {
	return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
}

// isOurs tells whether the migration proxy made the Ingress.
func isOurs(ingress *networkingv1.Ingress) bool {
	return ingressgen.IsCompanion(ingress) || ingressgen.IsAnchor(ingress)
}

// ports implements ingressgen.PortLookup for the Ingresses of one namespace.
type ports struct {
	services  map[types.NamespacedName]*corev1.Service
	namespace string
	admission bool // it does not know ports of ExternalNames
}

// PortNumber implements ingressgen.PortLookup.
func (p ports) PortNumber(service, name string) (int32, bool) {
	found := p.services[types.NamespacedName{Namespace: p.namespace, Name: service}]
	if found == nil {
		return 0, false
	}
	i := slices.IndexFunc(found.Spec.Ports, func(port corev1.ServicePort) bool { return port.Name == name })
	if i < 0 {
		return 0, false
	}
	return found.Spec.Ports[i].Port, true
}

// Service implements ingressgen.PortLookup.
func (p ports) Service(name string) *corev1.Service {
	if p.admission {
		return nil
	}
	return p.services[types.NamespacedName{Namespace: p.namespace, Name: name}]
}

// ExternalPort implements ingressgen.PortLookup.
func (p ports) ExternalPort(service string, port int32) int32 {
	found := p.services[types.NamespacedName{Namespace: p.namespace, Name: service}]
	if p.admission || found == nil || found.Spec.Type != corev1.ServiceTypeExternalName {
		return 0
	}
	i := slices.IndexFunc(found.Spec.Ports, func(own corev1.ServicePort) bool { return own.Port == port })
	if i < 0 {
		return 0
	}
	return found.Spec.Ports[i].TargetPort.IntVal
}

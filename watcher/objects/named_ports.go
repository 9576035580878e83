package objects

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/internal/kube"
)

// NamedPorts looks up ports of Services for the Ingresses of a namespace.
type NamedPorts struct {
	Services  *kube.Store[*corev1.Service]
	Namespace string
}

// PortNumber implements ingressgen.PortLookup.
func (p NamedPorts) PortNumber(service, name string) (int32, bool) {
	found := p.Services.Get(types.NamespacedName{Namespace: p.Namespace, Name: service})
	if found == nil {
		return 0, false
	}
	for _, port := range found.Spec.Ports {
		if port.Name == name {
			return port.Port, true
		}
	}
	return 0, false
}

// Service implements ingressgen.PortLookup.
func (p NamedPorts) Service(name string) *corev1.Service {
	return p.Services.Get(types.NamespacedName{Namespace: p.Namespace, Name: name})
}

// ExternalPort implements ingressgen.PortLookup.
func (p NamedPorts) ExternalPort(service string, port int32) int32 {
	found := p.Services.Get(types.NamespacedName{Namespace: p.Namespace, Name: service})
	if found == nil || found.Spec.Type != corev1.ServiceTypeExternalName {
		return 0
	}
	for _, own := range found.Spec.Ports {
		if own.Port == port {
			return own.TargetPort.IntVal
		}
	}
	return 0
}

package objects

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/ingressgen"
)

// trimIngress keeps of an Ingress that has nothing to do with the migration proxy
// only what may matter to those that have: a cluster may have thousands of them.
func trimIngress(ingress *networkingv1.Ingress) {
	if !IsRelevant(ingress) {
		ingressgen.TrimNeighbor(ingress)
	}
}

func trimClass(class *networkingv1.IngressClass) { class.ManagedFields = nil }

// trimService keeps of a foreign Service what a proxy Service takes over, and what is
// looked up of its ports.
func trimService(service *corev1.Service) {
	service.ManagedFields = nil
	if ingressgen.IsGeneratedService(service) {
		return
	}
	*service = corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: service.Namespace, Name: service.Name, UID: service.UID, ResourceVersion: service.ResourceVersion,
			Annotations: ingressgen.ControllerAnnotations(service.Annotations),
		},
		Spec: corev1.ServiceSpec{Type: service.Spec.Type, Ports: lookedUpPorts(service)},
	}
}

// lookedUpPorts are the ports that NamedPorts may look up: those with a name or a protocol,
// and all of an ExternalName.
func lookedUpPorts(service *corev1.Service) []corev1.ServicePort {
	var ports []corev1.ServicePort
	external := service.Spec.Type == corev1.ServiceTypeExternalName
	for _, port := range service.Spec.Ports {
		if port.Name == "" && port.AppProtocol == nil && !external {
			continue
		}
		kept := corev1.ServicePort{Name: port.Name, Port: port.Port, AppProtocol: port.AppProtocol}
		if external {
			kept.TargetPort = port.TargetPort
		}
		ports = append(ports, kept)
	}
	return ports
}

func trimSlice(slice *discoveryv1.EndpointSlice) { slice.ManagedFields = nil }

// IsRelevant reports whether the Ingress is a companion, or is, or was, to be
// migrated.
func IsRelevant(ingress *networkingv1.Ingress) bool {
	return ingress != nil && (IsOurs(ingress) || IsAnnotated(ingress))
}

// IsAnnotated reports whether the Ingress has the annotation to opt in, with
// any value, or has anything that the migration proxy wrote.
func IsAnnotated(ingress *networkingv1.Ingress) bool {
	_, annotated := ingress.Annotations[ingressgen.AnnotationEnabled]
	return annotated || ingressgen.Touched(ingress)
}

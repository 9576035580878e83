package ingressgen

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/migration-proxy/migration-proxy/internal/names"
)

// ProxyService is the Service that the rewritten Ingresses of a namespace point
// at. It has no selector, because the pods of the proxy are in another namespace:
// its endpoints are those of ProxySlices.
func ProxyService(namespace string) *corev1.Service {
	return &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{Name: names.ProxyService, Namespace: namespace, Labels: map[string]string{names.ManagedByLabel: names.Manager}},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP,
			Ports: []corev1.ServicePort{
				{Name: names.PortTraffic, Protocol: corev1.ProtocolTCP, Port: names.TrafficPort, TargetPort: intstr.FromInt32(names.TrafficTargetPort)},
				{Name: names.PortNew, Protocol: corev1.ProtocolTCP, Port: names.NewPort, TargetPort: intstr.FromInt32(names.NewPort)},
			},
		},
	}
}

// CompanionService is the Service that a companion Ingress points at, with its
// owner. Each has one of its own, because ingress-nginx keeps a canary's weight
// and header with the Service and port that it sends to, for all of a
// namespace: companions that share a Service would share the first one's canarySplit.
func CompanionService(companion *networkingv1.Ingress) *corev1.Service {
	return &corev1.Service{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{
			Name: companionService(CompanionOf(companion.Name)), Namespace: companion.Namespace,
			Labels: map[string]string{names.ManagedByLabel: names.Manager}, OwnerReferences: companion.OwnerReferences,
		},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP,
			Ports: []corev1.ServicePort{
				{Name: names.PortNew, Protocol: corev1.ProtocolTCP, Port: names.NewPort, TargetPort: intstr.FromInt32(names.NewPort)},
			},
		},
	}
}

// companionService is the name of the Service of an Ingress's companion: the
// name of the companion, or a short hash where that is no valid name of a Service
// (the name of an Ingress may be longer, and have dots).
func companionService(ingress string) string {
	name := CompanionName(ingress)
	if len(validation.IsDNS1035Label(name)) == 0 {
		return name
	}
	sum := sha256.Sum256([]byte(ingress))
	return "canary-" + hex.EncodeToString(sum[:8]) + companionSuffix
}

// ProxySlices copies the EndpointSlices of the proxy's own Service (source) for
// another Service: the same endpoints, the ports that the Service has, and its
// owner, sorted by name. For the proxy's own Service it gives nil.
func ProxySlices(service *corev1.Service, source []discoveryv1.EndpointSlice) []*discoveryv1.EndpointSlice {
	var copies []*discoveryv1.EndpointSlice
	for i := range source {
		if source[i].Namespace != service.Namespace || service.Name != names.ProxyService {
			copies = append(copies, copySlice(service, &source[i]))
		}
	}
	slices.SortFunc(copies, func(a, b *discoveryv1.EndpointSlice) int { return cmp.Compare(a.Name, b.Name) })
	return copies
}

func copySlice(service *corev1.Service, source *discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
	from := source.DeepCopy()
	to := &discoveryv1.EndpointSlice{
		TypeMeta: metav1.TypeMeta{APIVersion: discoveryv1.SchemeGroupVersion.String(), Kind: "EndpointSlice"},
		ObjectMeta: metav1.ObjectMeta{
			Name: sliceName(service.Name, from.Name), Namespace: service.Namespace, OwnerReferences: service.OwnerReferences,
			Labels: map[string]string{
				discoveryv1.LabelServiceName: service.Name,
				discoveryv1.LabelManagedBy:   names.Manager, // otherwise the EndpointSlice controller of the cluster would delete it
				names.ManagedByLabel:         names.Manager,
			},
		},
		AddressType: from.AddressType,
		Endpoints:   from.Endpoints,
	}
	for i := range to.Endpoints {
		to.Endpoints[i].TargetRef = nil // a Pod of another namespace
	}
	for _, port := range from.Ports {
		if port.Name != nil && slices.ContainsFunc(service.Spec.Ports, func(p corev1.ServicePort) bool { return p.Name == *port.Name }) {
			to.Ports = append(to.Ports, port)
		}
	}
	return to
}

// sliceName is unique in a namespace, where several Services copy the same
// source.
func sliceName(service, source string) string {
	if service == names.ProxyService {
		return source
	}
	return service + "-" + source
}

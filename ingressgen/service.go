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

// ProxyService is the Service at which Ingresses of the namespace point in place
// of a user's backend, with the annotations of CopiedAnnotations. It has the
// name or number of the port that the user wrote, so that a rewrite changes only
// the name of the Service. It has no selector, because the pods of the proxy are
// in another namespace: its endpoints are those of ProxySlices.
func ProxyService(namespace string, old networkingv1.IngressServiceBackend, annotations map[string]string) *corev1.Service {
	service := &corev1.Service{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{
			Name: proxyServiceName(old), Namespace: namespace,
			Labels: map[string]string{names.ManagedByLabel: names.Manager}, Annotations: annotations,
		},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP,
			Ports: []corev1.ServicePort{{
				Name: cmp.Or(old.Port.Name, names.PortTraffic), Protocol: corev1.ProtocolTCP,
				Port: cmp.Or(old.Port.Number, names.TrafficPort), TargetPort: intstr.FromInt32(names.TrafficTargetPort),
			}},
		},
	}
	setHTTP(service)
	return service
}

// CompanionService is the Service that a companion Ingress points at, with its
// owner. Each has one of its own, because ingress-nginx keeps a canary's weight
// and header with the Service and port that it sends to, for all of a
// namespace: companions that share a Service would share the first one's canarySplit.
func CompanionService(companion *networkingv1.Ingress) *corev1.Service {
	return &corev1.Service{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{
			Name: CompanionServiceName(CompanionOf(companion.Name)), Namespace: companion.Namespace,
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

// CompanionServiceName is the name of the Service of an Ingress's companion: the
// name of the companion, or a short hash where that is no valid name of a Service
// (the name of an Ingress may be longer, and have dots).
func CompanionServiceName(ingress string) string {
	name := CompanionName(ingress)
	if len(validation.IsDNS1035Label(name)) == 0 {
		return name
	}
	sum := sha256.Sum256([]byte(ingress))
	return "canary-" + hex.EncodeToString(sum[:8]) + companionSuffix
}

// ProxySlices copies the EndpointSlices of the chart's Service (source) for a
// proxy Service or a companion's Service: the same endpoints, the port of the
// Service, and its owner, sorted by name.
func ProxySlices(service *corev1.Service, source []discoveryv1.EndpointSlice) []*discoveryv1.EndpointSlice {
	copies := make([]*discoveryv1.EndpointSlice, 0, len(source))
	terminating := !slices.ContainsFunc(source, hasReady)
	for i := range source {
		to := copySlice(service, &source[i])
		if terminating {
			serveTerminating(to.Endpoints)
		}
		copies = append(copies, to)
	}
	slices.SortFunc(copies, func(a, b *discoveryv1.EndpointSlice) int { return cmp.Compare(a.Name, b.Name) })
	return copies
}

func hasReady(slice discoveryv1.EndpointSlice) bool {
	return slices.ContainsFunc(slice.Endpoints, func(e discoveryv1.Endpoint) bool { return isTrue(e.Conditions.Ready, true) })
}

func isTrue(condition *bool, unset bool) bool {
	if condition == nil {
		return unset
	}
	return *condition
}

// serveTerminating makes the endpoints ready that still serve while they
// terminate, as kube-proxy does when a Service has no others. Ingress controllers
// look only at ready, and the proxies serve until the Ingresses point at old.
func serveTerminating(endpoints []discoveryv1.Endpoint) {
	for i := range endpoints {
		conditions := &endpoints[i].Conditions
		if isTrue(conditions.Serving, false) && isTrue(conditions.Terminating, false) {
			conditions.Ready = new(true)
		}
	}
}

func copySlice(service *corev1.Service, source *discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
	from := source.DeepCopy()
	to := &discoveryv1.EndpointSlice{
		TypeMeta: metav1.TypeMeta{APIVersion: discoveryv1.SchemeGroupVersion.String(), Kind: "EndpointSlice"},
		ObjectMeta: metav1.ObjectMeta{
			Name: service.Name + "-" + from.Name, Namespace: service.Namespace, OwnerReferences: service.OwnerReferences,
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
	to.Ports = copyPorts(service.Spec.Ports, from.Ports)
	return to
}

// copyPorts finds the source's ports by their numbers, and gives them the names and
// protocols that they have in the Service, as the cluster does for its own slices.
func copyPorts(ports []corev1.ServicePort, source []discoveryv1.EndpointPort) []discoveryv1.EndpointPort {
	var copies []discoveryv1.EndpointPort
	for _, port := range ports {
		for _, from := range source {
			if from.Port != nil && *from.Port == port.TargetPort.IntVal {
				from.Name, from.AppProtocol = new(port.Name), port.AppProtocol
				copies = append(copies, from)
			}
		}
	}
	return copies
}

package ingressgen

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Service migration-proxy, in every namespace: package cluster has the same
// names for those who speak to the API.
const (
	proxyName   = "migration-proxy"
	portTraffic = "http" // decided by the migration config
	portNew     = "new"  // always new, for mode canary

	trafficPort       = 80
	trafficTargetPort = 8000
	newPort           = 8001
)

// ProxyService is the Service that rewritten Ingresses of a namespace point
// at. It has no selector: the proxy's pods live in another namespace, and
// ProxySlices says where.
func ProxyService(namespace string) *corev1.Service {
	return &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{Name: proxyName, Namespace: namespace, Labels: map[string]string{managedBy: manager}},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP,
			Ports: []corev1.ServicePort{
				{Name: portTraffic, Protocol: corev1.ProtocolTCP, Port: trafficPort, TargetPort: intstr.FromInt32(trafficTargetPort)},
				{Name: portNew, Protocol: corev1.ProtocolTCP, Port: newPort, TargetPort: intstr.FromInt32(newPort)},
			},
		},
	}
}

// ProxySlices mirrors the EndpointSlices of the proxy's own Service into
// another namespace: the same names and endpoints, without the status port,
// sorted by name. The namespace that they are from needs none: nil.
func ProxySlices(namespace string, source []discoveryv1.EndpointSlice) []*discoveryv1.EndpointSlice {
	var slicesOf []*discoveryv1.EndpointSlice
	for i := range source {
		if source[i].Namespace != namespace {
			slicesOf = append(slicesOf, mirror(namespace, &source[i]))
		}
	}
	slices.SortFunc(slicesOf, func(a, b *discoveryv1.EndpointSlice) int { return cmp.Compare(a.Name, b.Name) })
	return slicesOf
}

func mirror(namespace string, source *discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
	from := source.DeepCopy()
	to := &discoveryv1.EndpointSlice{
		TypeMeta: metav1.TypeMeta{APIVersion: discoveryv1.SchemeGroupVersion.String(), Kind: "EndpointSlice"},
		ObjectMeta: metav1.ObjectMeta{Name: from.Name, Namespace: namespace, Labels: map[string]string{
			discoveryv1.LabelServiceName: proxyName,
			discoveryv1.LabelManagedBy:   manager, // or the cluster's own controller would delete it
			managedBy:                    manager,
		}},
		AddressType: from.AddressType,
		Endpoints:   from.Endpoints,
	}
	for i := range to.Endpoints {
		to.Endpoints[i].TargetRef = nil // a Pod of another namespace
	}
	for _, port := range from.Ports {
		if port.Name != nil && (*port.Name == portTraffic || *port.Name == portNew) {
			to.Ports = append(to.Ports, port)
		}
	}
	return to
}

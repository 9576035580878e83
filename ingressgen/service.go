package ingressgen

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// ProxyService is the Service that rewritten Ingresses of a namespace point
// at. It has no selector: the proxy's pods live in another namespace, and
// ProxySlices says where.
func ProxyService(namespace string) *corev1.Service {
	return &corev1.Service{}
}

// ProxySlices mirrors the EndpointSlices of the proxy's own Service into
// another namespace, without the status port, sorted by name.
func ProxySlices(namespace string, source []discoveryv1.EndpointSlice) []*discoveryv1.EndpointSlice {
	return nil
}

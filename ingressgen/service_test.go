package ingressgen_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/golden"
)

func TestProxyService(t *testing.T) {
	t.Parallel()
	service := ingressgen.ProxyService("shop")
	require.Empty(t, service.Spec.Selector, "the pods are in another namespace")
	golden.Check(t, "testdata/proxy-service.yaml", marshal(t, service))
}

// source is what the cluster makes for the proxy's own Service.
func source() []discoveryv1.EndpointSlice {
	port := func(name string, number int32) discoveryv1.EndpointPort {
		protocol := corev1.ProtocolTCP
		return discoveryv1.EndpointPort{Name: &name, Port: &number, Protocol: &protocol}
	}
	yes := true
	slice := func(name string, family discoveryv1.AddressType, address string) discoveryv1.EndpointSlice {
		return discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{
				Name: name, Namespace: "migration-proxy", ResourceVersion: "7", UID: "u",
				Labels:          map[string]string{discoveryv1.LabelManagedBy: "endpointslice-controller.k8s.io", discoveryv1.LabelServiceName: "migration-proxy"},
				OwnerReferences: []metav1.OwnerReference{{Kind: "Service", Name: "migration-proxy"}},
			},
			AddressType: family,
			Ports:       []discoveryv1.EndpointPort{port("http", 8000), port("new", 8001), port("status", 8080)},
			Endpoints: []discoveryv1.Endpoint{{
				Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: &yes},
				TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: "migration-proxy-0", Namespace: "migration-proxy"},
			}},
		}
	}
	return []discoveryv1.EndpointSlice{
		slice("migration-proxy-zz", discoveryv1.AddressTypeIPv6, "2001:db8::1"),
		slice("migration-proxy-aa", discoveryv1.AddressTypeIPv4, "10.99.0.1"),
	}
}

func TestProxySlices(t *testing.T) {
	t.Parallel()
	from := source()
	golden.Check(t, "testdata/proxy-slices.yaml", marshal(t, ingressgen.ProxySlices("shop", from)))
	require.Equal(t, source(), from, "the source is the informer's")
	require.Empty(t, ingressgen.ProxySlices("migration-proxy", from), "there the cluster makes them")
}

package kube_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/migration-proxy/migration-proxy/internal/kube"
)

func slice(port string, number int32, endpoints ...discoveryv1.Endpoint) discoveryv1.EndpointSlice {
	return discoveryv1.EndpointSlice{
		Endpoints: endpoints,
		Ports:     []discoveryv1.EndpointPort{{Name: new("http"), Port: new(int32(8000))}, {Name: &port, Port: &number}},
	}
}

func endpoint(pod, address string, ready, ending *bool) discoveryv1.Endpoint {
	e := discoveryv1.Endpoint{
		Addresses:  []string{address},
		Conditions: discoveryv1.EndpointConditions{Ready: ready, Terminating: ending},
	}
	if pod != "" {
		e.TargetRef = &corev1.ObjectReference{Kind: "Pod", Name: pod}
	}
	return e
}

func TestEndpoints(t *testing.T) {
	t.Parallel()
	yes, no := new(true), new(false)
	found := kube.Endpoints([]discoveryv1.EndpointSlice{
		slice("status", 8080, endpoint("c", "fd00::3", no, nil), endpoint("a", "10.0.0.1", nil, nil)),
		slice("status", 8081, endpoint("c", "10.0.0.3", yes, nil), endpoint("d", "10.0.0.4", yes, yes)),
		slice("status", 8080, endpoint("", "10.0.0.5", no, no), endpoint("f", "a.example.com", yes, no), endpoint("c", "fd00::3", no, nil)),
		slice("http", 8000, endpoint("g", "10.0.0.7", yes, nil)),
	})
	require.Equal(t, []kube.Endpoint{
		{Pod: "10.0.0.5", Address: netip.MustParseAddrPort("10.0.0.5:8080"), Ready: false},
		{Pod: "a", Address: netip.MustParseAddrPort("10.0.0.1:8080"), Ready: true},
		{Pod: "c", Address: netip.MustParseAddrPort("10.0.0.3:8081"), Ready: true},
		{Pod: "d", Address: netip.MustParseAddrPort("10.0.0.4:8081"), Ready: false},
	}, found)
	require.Empty(t, kube.Endpoints(nil))
}

package ingressgen_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/golden"
)

// oldAPI is a user's backend.
var oldAPI = networkingv1.IngressServiceBackend{Name: "api", Port: networkingv1.ServiceBackendPort{Name: "web"}}

func TestProxyService(t *testing.T) {
	t.Parallel()
	service := ingressgen.ProxyService("shop", oldAPI, map[string]string{"traefik.ingress.kubernetes.io/service.sticky.cookie": "true"})
	require.Empty(t, service.Spec.Selector, "the pods are in another namespace")
	golden.Check(t, "testdata/proxy-service.yaml", marshal(t, service))
}

// proxySource gives the EndpointSlices that the cluster makes for the proxy's own
// Service.
func proxySource() []discoveryv1.EndpointSlice {
	port := func(name string, number int32) discoveryv1.EndpointPort {
		protocol := corev1.ProtocolTCP
		return discoveryv1.EndpointPort{Name: &name, Port: &number, Protocol: &protocol}
	}
	ready := true
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
				Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: &ready},
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
	from := proxySource()
	golden.Check(t, "testdata/proxy-slices.yaml", marshal(t, ingressgen.ProxySlices(ingressgen.ProxyService("shop", oldAPI, nil), from)))
	require.Equal(t, proxySource(), from, "the source belongs to the informer")
}

// TestTerminatingEndpointsServe: when no endpoint is ready, those that still
// serve while they terminate are, as kube-proxy has it.
func TestTerminatingEndpointsServe(t *testing.T) {
	t.Parallel()
	service := ingressgen.ProxyService("shop", oldAPI, nil)
	conditions := func(ready, serving, terminating bool) discoveryv1.EndpointConditions {
		return discoveryv1.EndpointConditions{Ready: &ready, Serving: &serving, Terminating: &terminating}
	}
	for name, c := range map[string]struct {
		first, second       discoveryv1.EndpointConditions
		firstReady, another bool
	}{
		"one is ready":          {conditions(false, true, true), conditions(true, true, false), false, true},
		"none is ready":         {conditions(false, true, true), conditions(false, false, true), true, false},
		"none serves":           {conditions(false, false, true), conditions(false, false, false), false, false},
		"not ready, but stays":  {conditions(false, true, false), conditions(false, false, false), false, false},
		"ready is not set":      {conditions(false, true, true), discoveryv1.EndpointConditions{}, false, true},
		"all terminate, serve":  {conditions(false, true, true), conditions(false, true, true), true, true},
		"the other slice knows": {conditions(false, true, true), conditions(true, true, false), false, true},
	} {
		from := proxySource()
		from[0].Endpoints[0].Conditions, from[1].Endpoints[0].Conditions = c.second, c.first
		copies := ingressgen.ProxySlices(service, from)
		ready := func(i int) bool {
			condition := copies[i].Endpoints[0].Conditions.Ready
			return condition == nil || *condition
		}
		require.Equal(t, c.firstReady, ready(0), name)
		require.Equal(t, c.another, ready(1), name)
	}
}

// TestCopiedAnnotations: what a user has said to the ingress controller about the
// Service stays in force, and nothing else comes along.
func TestCopiedAnnotations(t *testing.T) {
	t.Parallel()
	require.Equal(t, map[string]string{
		"traefik.ingress.kubernetes.io/service.sticky.cookie": "true",
		"haproxy-ingress.github.io/balance-algorithm":         "leastconn",
	}, ingressgen.CopiedAnnotations(map[string]string{
		"traefik.ingress.kubernetes.io/service.sticky.cookie": "true",
		"traefik.ingress.kubernetes.io/service.serversscheme": "https",
		"haproxy-ingress.github.io/balance-algorithm":         "leastconn",
		"haproxy-ingress.github.io/secure-backends":           "true",
		"kubectl.kubernetes.io/last-applied-configuration":    "{}",
		"argocd.argoproj.io/tracking-id":                      "shop:/Service:shop/api",
		"external-dns.alpha.kubernetes.io/hostname":           "api.example.com",
		"prometheus.io/scrape":                                "true",
	}))
	require.Nil(t, ingressgen.CopiedAnnotations(map[string]string{"example.com/x": "y"}))
}

// companionOf is the companion of an Ingress in mode canary.
func companionOf(t *testing.T, name, namespace string) *networkingv1.Ingress {
	t.Helper()
	ingress := parse(t, readJSON(t, "testdata/canary/ingress.yaml"))
	ingress.Name, ingress.Namespace = name, namespace
	view := loadView(t, "testdata/canary")
	view.Table.Service("api").Namespaces = []string{"migration-proxy"}
	for i := range ingress.Spec.Rules {
		ingress.Annotations[ingressgen.AnnotationService] = "api"
		ingress.Spec.Rules[i].HTTP.Paths = ingress.Spec.Rules[i].HTTP.Paths[:1]
	}
	report := ingressgen.Rewrite(ingress, view)
	require.NotNil(t, report.Companion, "%v", report)
	require.Empty(t, report.Proxies, "the companion has a Service of its own")
	return report.Companion
}

// TestCompanionService: the companion points at its Service, which has slices of
// its own, also in the proxy's namespace.
func TestCompanionService(t *testing.T) {
	t.Parallel()
	for _, namespace := range []string{"shop", "migration-proxy"} {
		companion := companionOf(t, "api", namespace)
		service := ingressgen.CompanionService(companion)
		to := companion.Spec.Rules[0].HTTP.Paths[0].Backend.Service
		require.Equal(t, service.Name, to.Name)
		require.Equal(t, service.Spec.Ports[0].Port, to.Port.Number)
		from := proxySource()
		mirrored := ingressgen.ProxySlices(service, from)
		require.Len(t, mirrored, len(from))
		require.Equal(t, service.OwnerReferences, mirrored[0].OwnerReferences)
		if namespace == "shop" {
			golden.Check(t, "testdata/companion-service.yaml", marshal(t, service))
			golden.Check(t, "testdata/companion-slices.yaml", marshal(t, mirrored))
		}
	}
}

// TestCompanionsShareNoService: ingress-nginx would give them the same split.
func TestCompanionsShareNoService(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, name := range []string{"api", "web", "shop.example.com", "shop.example.org", "2fast", strings.Repeat("a", 63), strings.Repeat("a", 64)} {
		service := ingressgen.CompanionService(companionOf(t, name, "shop"))
		require.Empty(t, validation.IsDNS1035Label(service.Name), "the name is valid for a Service")
		require.NotEqual(t, "migration-proxy", service.Name)
		require.False(t, seen[service.Name], service.Name)
		seen[service.Name] = true
	}
}

func TestProxyServiceOfGRPC(t *testing.T) {
	t.Parallel()
	service := ingressgen.ProxyService("shop", oldAPI, map[string]string{"traefik.ingress.kubernetes.io/service.sticky.cookie": "true"})
	ingressgen.SetGRPC(service)
	golden.Check(t, "testdata/proxy-service-grpc.yaml", marshal(t, service))
	from := []discoveryv1.EndpointSlice{{Ports: []discoveryv1.EndpointPort{{Name: new("grpc"), Port: new(int32(8002))}, {Name: new("http"), Port: new(int32(8000))}}}}
	ports := ingressgen.ProxySlices(service, from)[0].Ports
	require.Len(t, ports, 1)
	require.Equal(t, int32(8002), *ports[0].Port)
	require.Equal(t, "web", *ports[0].Name)
}

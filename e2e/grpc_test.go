package e2e

import (
	"testing"

	"github.com/stretchr/testify/require"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/e2e/wire"
	"github.com/migration-proxy/migration-proxy/e2e/world"
)

const haproxyProtocol = "haproxy-ingress.github.io/backend-protocol"

// TestGRPCBehindHAProxyIngress: calls of gRPC behind a controller that nobody here wrote,
// which learns in both of its ways that old speaks HTTP/2: from the Ingress, and from the
// Service. Clients come by HTTP/2 with TLS and without.
func TestGRPCBehindHAProxyIngress(t *testing.T) {
	t.Parallel()
	if !cluster.Local() {
		t.Skip("its image exists only on local clusters")
	}
	s := cluster.NewApp(t)
	s.BehindHAProxyIngress()
	s.Alias("said", world.Old, haproxyProtocol, "h2")
	said := "said." + s.Host
	s.Ingress("shop", annotated(haproxyProtocol, "grpc"), withTLS)
	s.Ingress("said", leads("/", said, "said"))
	hosts := map[string][]func(*wire.Load){
		"shop": {world.Calls, s.ByTLS},
		"said": {world.Calls, world.Host(said)},
	}
	before, streams := map[string]string{}, []*world.Stream{}
	for name, calls := range hosts {
		s.WaitForSplit(0, append(calls, calledOften)...)
		before[name] = s.IngressJSON(name)
		streams = append(streams, s.Stream(append(calls, slowly)...))
	}
	configure := func(percent int) {
		s.Configure(percent, "protocol: grpc")
		s.ConfigureBehind("said", said, percent, "protocol: grpc")
	}
	splits := func(percent float64) {
		for _, calls := range hosts {
			s.WaitForSplit(percent, append(calls, calledOften)...)
		}
	}

	configure(0)
	for name := range hosts {
		require.NotContains(t, s.OptIn(name), "Warning")
		s.WaitForPhase(name, migrating)
	}
	requireH2C(t, s, "shop")
	requireH2C(t, s, "said")
	for _, percent := range []int{0, 50, 100} {
		configure(percent)
		splits(float64(percent))
	}
	for name := range hosts {
		s.OptOut(name)
		s.WaitForIngressJSON(name, before[name])
	}
	splits(0)
	for name := range hosts {
		s.OptIn(name)
		s.WaitForPhase(name, migrating)
	}
	splits(100)
	for _, stream := range streams {
		report := stream.StopWithoutLoss()
		t.Logf("%d calls, %d failed: statuses %v, %v", report.Sent, report.Failed, report.Statuses, report.Sides)
		require.NotEmpty(t, report.Sides[world.New])
	}
}

// requireH2C: the proxy Service says in every way of a controller that it speaks HTTP/2.
func requireH2C(t *testing.T, s *world.App, ingress string) {
	t.Helper()
	name := s.ProxyOf(ingress)
	service, err := s.Client.CoreV1().Services(s.Namespace).Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, "kubernetes.io/h2c", *service.Spec.Ports[0].AppProtocol, name)
	require.Equal(t, "h2", service.Annotations[haproxyProtocol], name)
}

// withTLS makes the controller serve the host with a certificate of its own making.
func withTLS(ingress *networkingv1.Ingress) {
	ingress.Spec.TLS = []networkingv1.IngressTLS{{Hosts: []string{ingress.Spec.Rules[0].Host}}}
}

// calledOften sends fewer calls than WaitForSplit has requests: each third takes a second.
func calledOften(load *wire.Load) { load.Requests = 120 }

func slowly(load *wire.Load) { load.Rate = 30 }

package e2e

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/e2e/wire"
	"github.com/migration-proxy/migration-proxy/e2e/world"
)

const (
	nginx     = "nginx.ingress.kubernetes.io/"
	companion = "shop-migration"
)

// TestCanaryMode checks that the old ingress controller itself sends a part of the
// traffic to new, because of a companion Ingress. The user's Ingress gets only
// annotations.
func TestCanaryMode(t *testing.T) {
	t.Parallel()
	s := cluster.NewApp(t)
	s.Behind(wire.IngressNginx)
	s.Ingress("shop")
	before := s.IngressJSON("shop")
	s.Configure(20, fastFallback, "mode: canary",
		`canary: {header_rules: [{header: X-Migration-Target, value: new, target: new_cluster}]}`)
	stream := s.Stream()
	s.OptIn("shop")
	waitForCanary(s, "20", "X-Migration-Target")
	require.Equal(t, "old:8000", world.Backend(s.GetIngress("shop"), 0, 0), "old traffic does not cross the proxy")
	require.Equal(t, companion+":8001", world.Backend(s.GetIngress(companion), 0, 0), "the companion has a Service of its own, which leads to the proxy")
	s.WaitForSplit(20)
	s.ExpectSplit(100, world.Header("X-Migration-Target", "new"))

	s.Proxy(t, "update", s.Service, "60")
	waitForCanary(s, "60", "X-Migration-Target")
	s.WaitForSplit(60)

	s.Fail(world.New, wire.Outage{Mode: wire.Refuse})
	waitForCanary(s, "0", "")
	s.WaitForSplit(0)
	s.WaitForSplit(0, world.Header("X-Migration-Target", "new"))
	s.Fail(world.New, wire.Outage{})
	waitForCanary(s, "60", "X-Migration-Target")

	s.OptOut("shop")
	s.WaitForNoIngress(companion)
	s.WaitForIngressJSON("shop", before)
	s.WaitForSplit(0)
	stream.StopWithoutLoss()
}

// waitForCanary waits until the companion has the weight and the header; "" means no
// header.
func waitForCanary(s *world.App, weight, header string) {
	s.WaitForIngress(companion, fmt.Sprintf("weight %s, header %q", weight, header), func(ingress *networkingv1.Ingress) error {
		got := ingress.Annotations
		if got[nginx+"canary"] != "true" || got[nginx+"canary-weight"] != weight || got[nginx+"canary-by-header"] != header {
			return fmt.Errorf("its annotations are %v", got)
		}
		return nil
	})
}

// waitForCanaryWeight waits until a companion has the weight.
func waitForCanaryWeight(s *world.App, name, weight string) {
	s.WaitForIngress(name, "weight "+weight, func(ingress *networkingv1.Ingress) error {
		if got := ingress.Annotations[nginx+"canary-weight"]; got != weight {
			return fmt.Errorf("it is %q", got)
		}
		return nil
	})
}

// TestCanaryModeRefusesIPRules checks that the API server refuses a config that canary
// annotations cannot express.
func TestCanaryModeRefusesIPRules(t *testing.T) {
	t.Parallel()
	s := cluster.NewApp(t)
	text := s.ServiceText(20, "mode: canary", "canary: {ip_rules: [{cidr: 10.0.0.0/8, target: new_cluster}]}")
	err := s.EditConfig(t.Context(), func(all string) string { return world.With(all, s.Service, text) })
	require.ErrorContains(t, err, "ip_rules")
	require.ErrorContains(t, err, "canary")
}

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

// TestCanaryMode: the old controller itself sends a part of the traffic on,
// told by a companion Ingress; the user's own is only annotated.
func TestCanaryMode(t *testing.T) {
	t.Parallel()
	s := cluster.NewSite(t)
	s.Ingress("shop")
	before := s.Written("shop")
	s.Configure(20, hasty, "mode: canary",
		`canary: {header_rules: [{header: X-Migration-Target, value: new, target: new_cluster}]}`)
	stream := s.Stream()
	s.OptIn("shop")
	awaitCanary(s, "20", "X-Migration-Target")
	require.Equal(t, "old:8000", world.Backend(s.GetIngress("shop"), 0, 0), "old traffic does not cross the proxy")
	require.Equal(t, companion+":8001", world.Backend(s.GetIngress(companion), 0, 0), "a Service of its own, that leads to the proxy")
	s.AwaitSplit(20)
	s.ExpectSplit(100, world.Header("X-Migration-Target", "new"))

	s.Proxy(t, "update", s.Service, "60")
	awaitCanary(s, "60", "X-Migration-Target")
	s.AwaitSplit(60)

	s.Fail(world.New, wire.Outage{Mode: wire.Refuse})
	awaitCanary(s, "0", "")
	s.AwaitSplit(0)
	s.AwaitSplit(0, world.Header("X-Migration-Target", "new"))
	s.Fail(world.New, wire.Outage{})
	awaitCanary(s, "60", "X-Migration-Target")

	s.OptOut("shop")
	s.AwaitGone(companion)
	s.AwaitWritten("shop", before)
	s.AwaitSplit(0)
	stream.StopLossless()
}

// awaitCanary waits until the companion says the weight and the header ("" is
// none).
func awaitCanary(s *world.Site, weight, header string) {
	s.AwaitIngress(companion, fmt.Sprintf("weight %s, header %q", weight, header), func(ingress *networkingv1.Ingress) error {
		got := ingress.Annotations
		if got[nginx+"canary"] != "true" || got[nginx+"canary-weight"] != weight || got[nginx+"canary-by-header"] != header {
			return fmt.Errorf("it says %v", got)
		}
		return nil
	})
}

// awaitCanaryOf waits until another companion has the weight.
func awaitCanaryOf(s *world.Site, name, weight string) {
	s.AwaitIngress(name, "weight "+weight, func(ingress *networkingv1.Ingress) error {
		if got := ingress.Annotations[nginx+"canary-weight"]; got != weight {
			return fmt.Errorf("it is %q", got)
		}
		return nil
	})
}

// TestCanaryModeRefusesWhatItCannotSay, in the editor.
func TestCanaryModeRefusesWhatItCannotSay(t *testing.T) {
	t.Parallel()
	s := cluster.NewSite(t)
	text := s.ServiceText(20, "mode: canary", "canary: {ip_rules: [{cidr: 10.0.0.0/8, target: new_cluster}]}")
	err := s.EditConfig(t.Context(), func(all string) string { return world.With(all, s.Service, text) })
	require.ErrorContains(t, err, "ip_rules")
	require.ErrorContains(t, err, "canary")
}

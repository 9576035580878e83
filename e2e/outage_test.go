package e2e

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/e2e/wire"
	"github.com/migration-proxy/migration-proxy/e2e/world"
)

// enabled opts an Ingress in.
func enabled(ingress *networkingv1.Ingress) {
	if ingress.Annotations == nil {
		ingress.Annotations = map[string]string{}
	}
	ingress.Annotations[world.Annotations+"enabled"] = "true"
}

// TestWebhookDown checks that a missing webhook stops no deploy, and that Ingresses
// written meanwhile are rewritten later.
func TestWebhookDown(t *testing.T) {
	s := cluster.NewApp(t)
	s.Migrate(100)
	stream := s.Stream()

	back := scaleToZero(t, world.Webhook)
	began := time.Now()
	s.Ingress("late", enabled, func(ingress *networkingv1.Ingress) {
		ingress.Spec.Rules[0].HTTP.Paths[0].Path = "/late"
	})
	require.Less(t, time.Since(began), 5*time.Second, "the API server does not wait for the webhook")
	s.Kubectl(t, "annotate", "ingress", "shop", "-n", s.Namespace, "team=checkout")
	require.Equal(t, "old:8000", world.Backend(s.GetIngress("late"), 0, 0))
	require.Error(t, s.EditConfig(t.Context(), replacing("percentage: 100  # of "+s.Service, "percentage: 1  # of "+s.Service)),
		"without a check the migration config is refused")
	s.ExpectSplit(100)

	back()
	s.WaitForPhase("late", migrating)
	s.WaitForSplit(100, world.To("/late"))
	require.Equal(t, "checkout", s.GetIngress("shop").Annotations["team"])
	require.NoError(t, world.InPhase(migrating)(s.GetIngress("shop")))
	stream.StopWithoutLoss()
}

// TestAPIServerGone checks that traffic needs no API server, and that changes are
// applied when it is back. A ramp keeps its share meanwhile and then goes on, also with
// another leader, and the config stays the property of the tool that applied it.
func TestAPIServerGone(t *testing.T) {
	if !cluster.Local() {
		t.Skip("only a local cluster's API server can be stopped")
	}
	s := cluster.NewApp(t)
	s.Migrate(50)
	stream := s.Stream()
	rising, toRising := s.Service+"-rising", world.Host("rising."+s.Host)
	s.Ingress("rising", withPath("/", "rising."+s.Host))
	s.ConfigureAs(rising, s.TextOf(rising, "rising."+s.Host, 100, fastRamp))
	s.OptIn("rising")
	s.WaitForPhase("rising", migrating)
	s.WaitForPosition(rising, 20)
	s.WaitForSplit(20, toRising)
	applied := s.ServerSideApplyConfig(t, "argocd", "--force-conflicts")
	require.Zero(t, applied.Code, applied.Output)
	ramped := s.Stream(toRising)
	away := shortOrLong(20*time.Second, time.Minute) // the leader loses its lease after ten

	cluster.StopAPIServer(t)
	time.Sleep(away) // the duration of the outage
	cluster.StartAPIServer(t)

	report := stream.Watch()
	require.Zero(t, report.Failed, report.Failures)
	require.Greater(t, report.Sent, int(50*away.Seconds()), "the load is 100 requests a second")
	require.NoError(t, world.Split(report, 50))
	require.NoError(t, world.Split(ramped.Watch(), 20), "the ramp waits")
	s.WaitForPosition(rising, 60)
	cluster.Kill(t, waitForLeader(t, ""))
	s.WaitForPosition(rising, 99)
	applied = s.ServerSideApplyConfig(t, "argocd")
	require.Zero(t, applied.Code, "a write of anybody else would be a conflict: %s", applied.Output)
	ramped.StopWithoutLoss()
	world.Eventually(t, "an edit is accepted again", func(ctx context.Context) error {
		return s.EditConfig(ctx, replacing("percentage: 50  # of "+s.Service, "percentage: 0  # of "+s.Service))
	})
	s.WaitForSplit(0)
	s.WaitForShare("shop", 0)
	s.Ingress("late", enabled, func(ingress *networkingv1.Ingress) {
		ingress.Spec.Rules[0].HTTP.Paths[0].Path = "/late"
	})
	s.WaitForPhase("late", migrating)
	stream.StopWithoutLoss()
}

// TestAllProxiesGone checks that without any proxy all Ingresses are as their users
// wrote them.
func TestAllProxiesGone(t *testing.T) {
	s := cluster.NewApp(t)
	s.Migrate(100)
	stream := s.Stream()

	back := restoreScale(t, world.Deployment)
	began := time.Now()
	cluster.Kubectl(t, "scale", "deployment", world.Deployment, "-n", world.Namespace, "--replicas=0")
	s.WaitForPhase("shop", bypassed)
	t.Logf("bypassed after %s", time.Since(began).Round(time.Millisecond))
	s.WaitForEvent(t, s.Namespace, "Ingress", "Bypassed", "")
	require.Equal(t, "old:8000", world.Backend(s.GetIngress("shop"), 0, 0))
	s.WaitForSplit(0)
	lost := stream.Stop()
	t.Logf("%d of %d requests failed until then", lost.Failed, lost.Sent)
	require.Less(t, lost.Failed, 1000, "the requests of ten seconds")
	again := s.Stream()

	back()
	s.WaitForPhase("shop", migrating)
	s.WaitForSplit(100)
	again.StopWithoutLoss()
}

// TestNewClusterDies checks the fallback, and the recovery without an operator.
func TestNewClusterDies(t *testing.T) {
	t.Parallel()
	s := cluster.NewApp(t)
	s.Migrate(50, fastFallback)
	stream := s.Stream()

	s.Fail(world.New, wire.Outage{Mode: wire.Refuse})
	s.WaitForPhase("shop", fallenBack)
	require.Equal(t, "old:8000", world.Backend(s.GetIngress("shop"), 0, 0))
	require.NotEmpty(t, world.Annotation(s.GetIngress("shop"), "reason"))
	s.WaitForEvent(t, s.Namespace, "Ingress", "FellBack", "requests to new failed")
	waitForState(s, fallenBack)
	s.WaitForSplit(0)

	s.Fail(world.New, wire.Outage{})
	s.WaitForPhase("shop", migrating)
	s.WaitForEvent(t, s.Namespace, "Ingress", "Recovered", "")
	waitForState(s, migrating)
	s.WaitForSplit(50)
	stream.StopWithoutLoss()
}

// TestNewBreaksOff has a new that breaks off after it has read a request: old answers
// a GET, but a POST that new may have seen is not repeated. Both count as failures, so
// the service falls back.
func TestNewBreaksOff(t *testing.T) {
	t.Parallel()
	for mode, status := range map[string]int{wire.Hang: http.StatusGatewayTimeout, wire.Reset: http.StatusBadGateway} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			s := cluster.NewApp(t)
			s.Migrate(100, fastFallback, "timeout: 2s")
			s.Fail(world.New, wire.Outage{Mode: mode})

			pay := func(load *wire.Load) { load.Method, load.Path, load.Body = http.MethodPost, "/pay", "1" }
			const payments = 2 // too few to trip a replica
			require.Equal(t, map[int]int{status: payments}, s.Send(payments, pay).Statuses)
			require.Equal(t, payments, s.Counts(world.New).Paths["/pay"])
			require.Zero(t, s.Counts(world.Old).Paths["/pay"])
			s.ExpectSplit(0)
			s.WaitForPhase("shop", fallenBack)
			require.Zero(t, s.Send(payments, pay).Failed)

			s.Fail(world.New, wire.Outage{})
			s.WaitForPhase("shop", migrating)
			s.WaitForSplit(100)
		})
	}
}

// fastFallback is a fallback with few failures and a short recovery time.
const fastFallback = "fallback: {max_failures: 3, failure_window: 30, recovery_time: 3}"

// waitForState waits until ConfigMap migration-state has the phase for the App's
// service.
func waitForState(s *world.App, phase string) {
	s.WaitForState(func(services map[string]world.StateOfService) error {
		if got := services[s.Service].Phase; got != phase {
			return fmt.Errorf("%s is %q there", s.Service, got)
		}
		return nil
	})
}

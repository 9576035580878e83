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

// enabled is what an opted-in Ingress says.
func enabled(ingress *networkingv1.Ingress) {
	if ingress.Annotations == nil {
		ingress.Annotations = map[string]string{}
	}
	ingress.Annotations[world.Annotations+"enabled"] = "true"
}

// TestWebhookDown: a migration tool must never stop a deploy. What was written
// meanwhile is repaired.
func TestWebhookDown(t *testing.T) {
	s := cluster.NewSite(t)
	s.Migrate(100)
	stream := s.Stream()

	back := scaledTo0(t, world.Webhook)
	began := time.Now()
	s.Ingress("late", enabled, func(ingress *networkingv1.Ingress) {
		ingress.Spec.Rules[0].HTTP.Paths[0].Path = "/late"
	})
	require.Less(t, time.Since(began), 5*time.Second, "the API server waited for nobody")
	s.Kubectl(t, "annotate", "ingress", "shop", "-n", s.Namespace, "team=checkout")
	require.Equal(t, "old:8000", world.Backend(s.GetIngress("late"), 0, 0))
	require.Error(t, s.EditConfig(t.Context(), replacing("percentage: 100  # of "+s.Service, "percentage: 1  # of "+s.Service)),
		"nobody can check the migration config now")
	s.ExpectSplit(100)

	back()
	s.AwaitPhase("late", migrating)
	s.AwaitSplit(100, world.To("/late"))
	require.Equal(t, "checkout", s.GetIngress("shop").Annotations["team"])
	require.NoError(t, world.InPhase(migrating)(s.GetIngress("shop")))
	stream.StopLossless()
}

// TestAPIServerGone: traffic and fallback of each replica need no API server;
// afterwards, what has changed is caught up with.
func TestAPIServerGone(t *testing.T) {
	if !cluster.Local() {
		t.Skip("this cluster's API server is not ours to stop")
	}
	s := cluster.NewSite(t)
	s.Migrate(50)
	stream := s.Stream()
	away := either(12*time.Second, time.Minute) // the leader loses its lease after ten

	cluster.StopAPIServer(t)
	time.Sleep(away) // it is the outage, not a wait
	cluster.StartAPIServer(t)

	report := stream.Watch()
	require.Zero(t, report.Failed, report.Failures)
	require.Greater(t, report.Sent, int(50*away.Seconds()), "a hundred a second were asked for")
	require.NoError(t, world.Split(report, 50))
	world.Await(t, "an edit is accepted again", func(ctx context.Context) error {
		return s.EditConfig(ctx, replacing("percentage: 50  # of "+s.Service, "percentage: 0  # of "+s.Service))
	})
	s.AwaitSplit(0)
	s.AwaitShare("shop", 0)
	s.Ingress("late", enabled, func(ingress *networkingv1.Ingress) {
		ingress.Spec.Rules[0].HTTP.Paths[0].Path = "/late"
	})
	s.AwaitPhase("late", migrating)
	stream.StopLossless()
}

// TestAllProxiesGone: without a proxy that could serve it, every Ingress is as
// its user wrote it.
func TestAllProxiesGone(t *testing.T) {
	s := cluster.NewSite(t)
	s.Migrate(100)
	stream := s.Stream()

	back := scaledBack(t, world.Deployment)
	began := time.Now()
	cluster.Kubectl(t, "scale", "deployment", world.Deployment, "-n", world.Namespace, "--replicas=0")
	s.AwaitPhase("shop", bypassed)
	t.Logf("bypassed after %s", time.Since(began).Round(time.Millisecond))
	s.AwaitEvent(t, s.Namespace, "Ingress", "Bypassed", "")
	require.Equal(t, "old:8000", world.Backend(s.GetIngress("shop"), 0, 0))
	s.AwaitSplit(0)
	lost := stream.Stop()
	t.Logf("%d of %d requests failed until then", lost.Failed, lost.Sent)
	require.Less(t, lost.Failed, 1000, "ten seconds' worth")
	again := s.Stream()

	back()
	s.AwaitPhase("shop", migrating)
	s.AwaitSplit(100)
	again.StopLossless()
}

// TestNewClusterDies, and comes back, with nobody at the keyboard.
func TestNewClusterDies(t *testing.T) {
	t.Parallel()
	s := cluster.NewSite(t)
	s.Migrate(50, hasty)
	stream := s.Stream()

	s.Fail(world.New, wire.Outage{Mode: wire.Refuse})
	s.AwaitPhase("shop", fallenBack)
	require.Equal(t, "old:8000", world.Backend(s.GetIngress("shop"), 0, 0))
	require.NotEmpty(t, world.Annotation(s.GetIngress("shop"), "reason"))
	s.AwaitEvent(t, s.Namespace, "Ingress", "FellBack", "requests to new failed")
	awaitState(s, fallenBack)
	s.AwaitSplit(0)

	s.Fail(world.New, wire.Outage{})
	s.AwaitPhase("shop", migrating)
	s.AwaitEvent(t, s.Namespace, "Ingress", "Recovered", "")
	awaitState(s, migrating)
	s.AwaitSplit(50)
	stream.StopLossless()
}

// TestNewBreaksOff after it has read a request: old answers a GET, but a POST
// that new may have seen is sent nowhere else. Both count, so it falls back.
func TestNewBreaksOff(t *testing.T) {
	t.Parallel()
	for mode, status := range map[string]int{wire.Hang: http.StatusGatewayTimeout, wire.Reset: http.StatusBadGateway} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			s := cluster.NewSite(t)
			s.Migrate(100, hasty, "timeout: 2s")
			s.Fail(world.New, wire.Outage{Mode: mode})

			pay := func(load *wire.Load) { load.Method, load.Path, load.Body = http.MethodPost, "/pay", "1" }
			const payments = 2 // fewer than what trips a replica
			require.Equal(t, map[int]int{status: payments}, s.Send(payments, pay).Statuses)
			require.Equal(t, payments, s.Counts(world.New).Paths["/pay"])
			require.Zero(t, s.Counts(world.Old).Paths["/pay"])
			s.ExpectSplit(0)
			s.AwaitPhase("shop", fallenBack)
			require.Zero(t, s.Send(payments, pay).Failed)

			s.Fail(world.New, wire.Outage{})
			s.AwaitPhase("shop", migrating)
			s.AwaitSplit(100)
		})
	}
}

// hasty is a fallback for scenarios: few failures, and soon back.
const hasty = "fallback: {max_failures: 3, failure_window: 30, recovery_time: 3}"

// awaitState waits until ConfigMap migration-state has the phase for the
// site's service.
func awaitState(s *world.Site, phase string) {
	s.AwaitState(func(services map[string]world.StateOfService) error {
		if got := services[s.Service].Phase; got != phase {
			return fmt.Errorf("%s is %q there", s.Service, got)
		}
		return nil
	})
}

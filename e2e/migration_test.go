package e2e

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/e2e/world"
)

// TestFromAnnotationToOptOut migrates an application from opt-in to opt-out, under
// load.
func TestFromAnnotationToOptOut(t *testing.T) {
	t.Parallel()
	s := cluster.NewApp(t)
	s.Ingress("shop")
	before := s.IngressJSON("shop")
	s.Configure(5)
	stream := s.Stream()

	s.OptIn("shop")
	s.WaitForPhase("shop", migrating)
	s.WaitForSplit(5)
	for _, percent := range []int{50, 100, 0, 20} {
		s.Proxy(t, "update", s.Service, fmt.Sprint(percent))
		s.ExpectSplit(float64(percent)) // update waits for every replica
		s.WaitForShare("shop", percent)
		if percent == 100 {
			last := s.Counts(world.New).Last
			require.Equal(t, s.NewHost, last.Host, "the Host of requests to new")
			require.Equal(t, s.NewHost, last.SNI)
			require.Equal(t, []string{s.Host}, last.Header["X-Forwarded-Host"])
		}
	}
	require.Contains(t, s.ConfigText(t), "percentage: 20  # of "+s.Service, "update keeps comments")
	require.Contains(t, s.Proxy(t, "status"), s.Service)

	s.OptOut("shop")
	s.WaitForIngressJSON("shop", before)
	s.WaitForSplit(0)
	require.NotEmpty(t, stream.StopWithoutLoss().Sides[world.New])
	require.Equal(t, []string{s.NewHost}, slices.Collect(maps.Keys(s.Counts(world.New).Hosts)), "all Hosts of requests to new")
}

// TestServiceLeavesTheConfig removes the service of a migrating Ingress from the
// config.
func TestServiceLeavesTheConfig(t *testing.T) {
	t.Parallel()
	s := cluster.NewApp(t)
	s.Migrate(100)
	stream := s.Stream()
	s.Unconfigure()
	s.WaitForPhase("shop", bypassed)
	require.NoError(t, notRewritten(s.GetIngress("shop")))
	require.Contains(t, world.Annotation(s.GetIngress("shop"), "reason"), s.Host, "the annotation has the reason")
	s.WaitForSplit(0)
	stream.StopWithoutLoss()
}

// restored requires an Ingress that leads to old and has no annotation of the migration proxy.
func restored(ingress *networkingv1.Ingress) error {
	if ours, backend := world.Generated(ingress), world.Backend(ingress, 0, 0); len(ours) > 0 || backend != "old:8000" {
		return fmt.Errorf("backend %s, %v", backend, ours)
	}
	return nil
}

// notRewritten requires an Ingress that leads to old, with any annotations.
func notRewritten(ingress *networkingv1.Ingress) error {
	original, backend := world.Annotation(ingress, "original"), world.Backend(ingress, 0, 0)
	if original != "" || backend != "old:8000" {
		return fmt.Errorf("backend %s, original %s", backend, original)
	}
	return nil
}

// TestRestoreOne restores one Ingress by the command line.
func TestRestoreOne(t *testing.T) {
	t.Parallel()
	s := cluster.NewApp(t)
	s.Migrate(100)
	stream := s.Stream()
	s.Proxy(t, "restore", s.Namespace+"/shop")
	ingress := s.GetIngress("shop")
	require.NoError(t, restored(ingress))
	require.Equal(t, "false", world.Annotation(ingress, "enabled"))
	s.WaitForSplit(0)
	stream.StopWithoutLoss()
}

// TestExplainAndValidateTheLiveConfig runs explain and validate against the cluster.
func TestExplainAndValidateTheLiveConfig(t *testing.T) {
	t.Parallel()
	s := cluster.NewApp(t)
	s.Configure(100)
	s.Proxy(t, "validate")
	require.Contains(t, s.Proxy(t, "explain", "--host", s.Host), "new")
}

// TestTwoIngressesShareAService has two Ingresses with one Kubernetes Service, of
// which one has opted in. Only that one may migrate.
func TestTwoIngressesShareAService(t *testing.T) {
	t.Parallel()
	s := cluster.NewApp(t)
	const otherHost = "other-host-of-old.example.com"
	s.Ingress("shop")
	s.Ingress("other", func(ingress *networkingv1.Ingress) { ingress.Spec.Rules[0].Host = otherHost })
	other := s.GetIngress("other")
	s.Configure(100)
	s.OptIn("shop")
	s.WaitForPhase("shop", migrating)
	s.WaitForSplit(100)
	s.WaitForSplit(0, world.Host(otherHost))
	s.Proxy(t, "update", s.Service, "50")
	s.WaitForShare("shop", 50)
	require.Equal(t, other.ResourceVersion, s.GetIngress("other").ResourceVersion, "it was not written")
}

// TestAnEditConcernsOneService checks that an edit of one service does not write the
// Ingresses of others.
func TestAnEditConcernsOneService(t *testing.T) {
	t.Parallel()
	s := cluster.NewApp(t)
	s.Ingress("shop")
	s.Ingress("other", func(ingress *networkingv1.Ingress) { ingress.Spec.Rules[0].Host = "other." + s.Host })
	s.Configure(10)
	s.ConfigureAs(s.Service+"-other", s.TextOf(s.Service+"-other", "other."+s.Host, 10))
	s.OptIn("shop")
	s.OptIn("other")
	s.WaitForPhase("shop", migrating)
	s.WaitForPhase("other", migrating)
	settled := s.GetIngress("other").ResourceVersion
	for percent := range 20 {
		s.Proxy(t, "update", s.Service, fmt.Sprint(20+percent))
	}
	s.WaitForShare("shop", 39)
	require.Equal(t, settled, s.GetIngress("other").ResourceVersion)
	require.NoError(t, world.InPhase(migrating)(s.GetIngress("other")))
}

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

// TestFromAnnotationToOptOut is the whole way of one application, under load.
func TestFromAnnotationToOptOut(t *testing.T) {
	t.Parallel()
	s := cluster.NewSite(t)
	s.Ingress("shop")
	before := s.Written("shop")
	s.Configure(5)
	stream := s.Stream()

	s.OptIn("shop")
	s.AwaitPhase("shop", migrating)
	s.AwaitSplit(5)
	for _, percent := range []int{50, 100, 0, 20} {
		s.Proxy(t, "update", s.Service, fmt.Sprint(percent))
		s.ExpectSplit(float64(percent)) // update has waited for every replica
		s.AwaitShare("shop", percent)
		if percent == 100 {
			last := s.Counts(world.New).Last
			require.Equal(t, s.NewHost, last.Host, "the Host that new is asked for")
			require.Equal(t, s.NewHost, last.SNI)
			require.Equal(t, []string{s.Host}, last.Header["X-Forwarded-Host"])
		}
	}
	require.Contains(t, s.ConfigText(t), "percentage: 20  # of "+s.Service, "update keeps comments")
	require.Contains(t, s.Proxy(t, "status"), s.Service)

	s.OptOut("shop")
	s.AwaitWritten("shop", before)
	s.AwaitSplit(0)
	require.NotEmpty(t, stream.StopLossless().Sides[world.New])
	require.Equal(t, []string{s.NewHost}, slices.Collect(maps.Keys(s.Counts(world.New).Hosts)), "the Hosts that new was ever asked for")
}

// TestServiceLeavesTheConfig ends a migration from the other side.
func TestServiceLeavesTheConfig(t *testing.T) {
	t.Parallel()
	s := cluster.NewSite(t)
	s.Migrate(100)
	stream := s.Stream()
	s.Unconfigure()
	s.AwaitPhase("shop", bypassed)
	require.NoError(t, notRewritten(s.GetIngress("shop")))
	require.Contains(t, world.Annotation(s.GetIngress("shop"), "reason"), s.Host, "the user is told why")
	s.AwaitSplit(0)
	stream.StopLossless()
}

// restored wants an Ingress that leads to old and carries nothing of ours.
func restored(ingress *networkingv1.Ingress) error {
	if ours, backend := world.Ours(ingress), world.Backend(ingress, 0, 0); len(ours) > 0 || backend != "old:8000" {
		return fmt.Errorf("backend %s, %v", backend, ours)
	}
	return nil
}

// notRewritten wants an Ingress that leads to old, whatever is noted in it.
func notRewritten(ingress *networkingv1.Ingress) error {
	original, backend := world.Annotation(ingress, "original"), world.Backend(ingress, 0, 0)
	if original != "" || backend != "old:8000" {
		return fmt.Errorf("backend %s, original %s", backend, original)
	}
	return nil
}

// TestRestoreOne takes one Ingress out by the command line.
func TestRestoreOne(t *testing.T) {
	t.Parallel()
	s := cluster.NewSite(t)
	s.Migrate(100)
	stream := s.Stream()
	s.Proxy(t, "restore", s.Namespace+"/shop")
	ingress := s.GetIngress("shop")
	require.NoError(t, restored(ingress))
	require.Equal(t, "false", world.Annotation(ingress, "enabled"))
	s.AwaitSplit(0)
	stream.StopLossless()
}

// TestExplainAndValidateTheLiveConfig asks the cluster, not a file.
func TestExplainAndValidateTheLiveConfig(t *testing.T) {
	t.Parallel()
	s := cluster.NewSite(t)
	s.Configure(100)
	s.Proxy(t, "validate")
	require.Contains(t, s.Proxy(t, "explain", "--host", s.Host), "new")
}

// TestTwoIngressesShareAService, of which one has opted in: keyed by Service,
// the migration would leak to the other.
func TestTwoIngressesShareAService(t *testing.T) {
	t.Parallel()
	s := cluster.NewSite(t)
	const otherHost = "other-host-of-old.example.com"
	s.Ingress("shop")
	s.Ingress("other", func(ingress *networkingv1.Ingress) { ingress.Spec.Rules[0].Host = otherHost })
	other := s.GetIngress("other")
	s.Configure(100)
	s.OptIn("shop")
	s.AwaitPhase("shop", migrating)
	s.AwaitSplit(100)
	s.AwaitSplit(0, world.Host(otherHost))
	s.Proxy(t, "update", s.Service, "50")
	s.AwaitShare("shop", 50)
	require.Equal(t, other.ResourceVersion, s.GetIngress("other").ResourceVersion, "nobody wrote to it")
}

// TestAnEditConcernsOneService: the Ingresses of all others are not written.
func TestAnEditConcernsOneService(t *testing.T) {
	t.Parallel()
	s := cluster.NewSite(t)
	s.Ingress("shop")
	s.Ingress("bystander", func(ingress *networkingv1.Ingress) { ingress.Spec.Rules[0].Host = "by." + s.Host })
	s.Configure(10)
	s.ConfigureAs(s.Service+"-by", s.TextOf(s.Service+"-by", "by."+s.Host, 10))
	s.OptIn("shop")
	s.OptIn("bystander")
	s.AwaitPhase("shop", migrating)
	s.AwaitPhase("bystander", migrating)
	settled := s.GetIngress("bystander").ResourceVersion
	for percent := range 20 {
		s.Proxy(t, "update", s.Service, fmt.Sprint(20+percent))
	}
	s.AwaitShare("shop", 39)
	require.Equal(t, settled, s.GetIngress("bystander").ResourceVersion)
	require.NoError(t, world.InPhase(migrating)(s.GetIngress("bystander")))
}

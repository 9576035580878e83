package e2e

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/e2e/wire"
	"github.com/migration-proxy/migration-proxy/e2e/world"
)

// withPath changes host and path of an Ingress.
func withPath(path, host string) func(*networkingv1.Ingress) {
	return func(ingress *networkingv1.Ingress) {
		ingress.Spec.Rules[0].Host = host
		ingress.Spec.Rules[0].HTTP.Paths[0].Path = path
	}
}

// TestManyShapes has one Ingress with every kind of path. Only the paths of the
// service are rewritten, and the user gets a warning about the others.
func TestManyShapes(t *testing.T) {
	t.Parallel()
	s := cluster.NewApp(t)
	wild := "wild-" + s.Service + ".example.com"
	s.Ingress("shop", func(ingress *networkingv1.Ingress) { everyShape(s, wild, ingress) })
	before := s.IngressJSON("shop")
	s.Configure(100)
	s.ConfigureAs(s.Service+"-wild", s.TextOf(s.Service+"-wild", "*."+wild, 100))
	waitForState(s, migrating)

	warnings := s.OptIn("shop")
	s.WaitForPhase("shop", migrating)
	const rewritten = "a proxy Service"
	ingress := s.GetIngress("shop")
	for _, c := range []struct {
		rule, path int
		want       string
	}{
		{0, 0, rewritten},                    // a named port
		{0, 1, "cm-acme-http-solver-x:8089"}, // ACME
		{0, 2, ""},                           // a resource
		{0, 3, "other:8000"},                 // another Service
		{1, 0, "old:8000"},                   // another host
		{2, 0, "old:8000"},                   // no host
		{3, 0, rewritten},                    // a wildcard host
	} {
		got := world.Backend(ingress, c.rule, c.path)
		if world.Rewritten(got) {
			got = rewritten
		}
		require.Equal(t, c.want, got, "rule %d, path %d", c.rule, c.path)
	}
	require.Equal(t, "old", ingress.Spec.DefaultBackend.Service.Name)
	require.Contains(t, warnings, "Warning:")
	require.Contains(t, warnings, "/other")

	s.WaitForSplit(100)
	s.WaitForSplit(100, world.Host("a."+wild))
	s.WaitForSplit(0, world.Host("plain-"+s.Host))
	s.OptOut("shop")
	s.WaitForIngressJSON("shop", before)
	s.WaitForSplit(0)
}

func everyShape(s *world.App, wild string, ingress *networkingv1.Ingress) {
	named := world.Path("/", world.Old, 0)
	named.Backend.Service.Port = networkingv1.ServiceBackendPort{Name: "web"}
	acme := world.Path("/.well-known/acme-challenge/token", "cm-acme-http-solver-x", 8089)
	acme.PathType = new(networkingv1.PathTypeExact)
	files := world.Path("/files", "", 0)
	files.Backend = networkingv1.IngressBackend{Resource: &corev1.TypedLocalObjectReference{Kind: "Bucket", Name: "files"}}
	noHost := world.Rule("", world.Path("/nohost-"+s.Service, world.Old, 8000))
	ingress.Spec.DefaultBackend = named.Backend.DeepCopy()
	ingress.Spec.Rules = []networkingv1.IngressRule{
		world.Rule(s.Host, named, acme, files, world.Path("/other", "other", 8000)),
		world.Rule("plain-"+s.Host, world.Path("/", world.Old, 8000)),
		noHost,
		world.Rule("*."+wild, world.Path("/", world.Old, 8000)),
	}
}

// TestACanaryIngressIsRefused opts in an Ingress that is itself a canary.
func TestACanaryIngressIsRefused(t *testing.T) {
	t.Parallel()
	s := cluster.NewApp(t)
	s.Ingress("shop", func(ingress *networkingv1.Ingress) {
		ingress.Annotations = map[string]string{nginx + "canary": "true", nginx + "canary-weight": "10"}
	})
	s.Configure(100)
	waitForState(s, migrating)
	require.Contains(t, s.OptIn("shop"), "canary")
	require.Equal(t, "old:8000", world.Backend(s.GetIngress("shop"), 0, 0))
}

// TestExternalName: the old Service is only another name. At 0 % its application answers
// through the proxy, and 50 % go to new. One with another targetPort stays at old:
// the proxy would connect to another port than ingress-nginx does.
func TestExternalName(t *testing.T) {
	t.Parallel()
	s := cluster.NewApp(t)
	s.Behind(wire.IngressNginx)
	s.External("external", world.Old, wire.TrafficPort, wire.TrafficPort)
	s.External("moved", world.Old, 80, wire.TrafficPort)
	moved := "moved." + s.Host
	s.Ingress("shop", leads("/", s.Host, "external"))
	s.Ingress("moved", leads("/", moved, "moved"), func(ingress *networkingv1.Ingress) {
		ingress.Spec.Rules[0].HTTP.Paths[0].Backend.Service.Port = networkingv1.ServiceBackendPort{Number: 80}
	})
	s.WaitForSplit(0)
	s.WaitForSplit(0, world.Host(moved))
	s.ConfigureBehind("external", s.Host, 0)
	s.ConfigureAs(s.Service+"-moved", strings.Replace(s.TextOf(s.Service+"-moved", moved, 0), s.OldBackend(), "moved."+s.Namespace+".svc.cluster.local:80", 1))
	for _, name := range []string{"shop", "moved"} {
		s.OptIn(name)
	}
	s.WaitForPhase("shop", migrating)
	s.WaitForSplit(0)
	s.WaitForPhase("moved", bypassed)
	require.Contains(t, s.GetIngress("moved").Annotations["migration-proxy.io/reason"], "ExternalName whose targetPort is")
	s.WaitForSplit(0, world.Host(moved))
	s.ConfigureBehind("external", s.Host, 50)
	s.WaitForSplit(50)
}

package e2e

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/e2e/world"
)

// inPath is an Ingress for another host and path.
func inPath(path, host string) func(*networkingv1.Ingress) {
	return func(ingress *networkingv1.Ingress) {
		ingress.Spec.Rules[0].Host = host
		ingress.Spec.Rules[0].HTTP.Paths[0].Path = path
	}
}

// TestManyShapes has in one Ingress all that an Ingress can have. Only the
// paths that belong to the service are touched, and the user hears of those
// that are not.
func TestManyShapes(t *testing.T) {
	t.Parallel()
	s := cluster.NewSite(t)
	wild := "wild-" + s.Service + ".example.com"
	s.Ingress("shop", func(ingress *networkingv1.Ingress) { everyShape(s, wild, ingress) })
	before := s.Written("shop")
	s.Configure(100)
	s.ConfigureAs(s.Service+"-wild", s.TextOf(s.Service+"-wild", "*."+wild, 100))
	awaitState(s, migrating)

	warnings := s.OptIn("shop")
	s.AwaitPhase("shop", migrating)
	ingress := s.GetIngress("shop")
	for _, c := range []struct {
		rule, path int
		want       string
	}{
		{0, 0, world.Rewritten},              // a named port
		{0, 1, "cm-acme-http-solver-x:8089"}, // ACME
		{0, 2, ""},                           // a resource
		{0, 3, "other:8000"},                 // another Service
		{1, 0, "old:8000"},                   // another host
		{2, 0, "old:8000"},                   // no host
		{3, 0, world.Rewritten},              // a wildcard host
	} {
		require.Equal(t, c.want, world.Backend(ingress, c.rule, c.path), "rule %d, path %d", c.rule, c.path)
	}
	require.Equal(t, "old", ingress.Spec.DefaultBackend.Service.Name)
	require.Contains(t, warnings, "Warning:")
	require.Contains(t, warnings, "/other")

	s.AwaitSplit(100)
	s.AwaitSplit(100, world.Host("a."+wild))
	s.AwaitSplit(0, world.Host("plain-"+s.Host))
	s.OptOut("shop")
	s.AwaitWritten("shop", before)
	s.AwaitSplit(0)
}

func everyShape(s *world.Site, wild string, ingress *networkingv1.Ingress) {
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

// TestACanaryIngressIsRefused: it already is half of a split.
func TestACanaryIngressIsRefused(t *testing.T) {
	t.Parallel()
	s := cluster.NewSite(t)
	s.Ingress("shop", func(ingress *networkingv1.Ingress) {
		ingress.Annotations = map[string]string{nginx + "canary": "true", nginx + "canary-weight": "10"}
	})
	s.Configure(100)
	awaitState(s, migrating)
	require.Contains(t, s.OptIn("shop"), "canary")
	require.Equal(t, "old:8000", world.Backend(s.GetIngress("shop"), 0, 0))
}

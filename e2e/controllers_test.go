package e2e

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/e2e/wire"
	"github.com/migration-proxy/migration-proxy/e2e/world"
)

// leads changes path, host and Service of an Ingress.
func leads(path, host, service string) func(*networkingv1.Ingress) {
	return func(ingress *networkingv1.Ingress) {
		withPath(path, host)(ingress)
		ingress.Spec.Rules[0].HTTP.Paths[0].Backend.Service.Name = service
	}
}

// class changes the class of an Ingress.
func class(persona string) func(*networkingv1.Ingress) {
	return func(ingress *networkingv1.Ingress) { ingress.Spec.IngressClassName = new(world.ClassOf(persona).Name) }
}

// annotated adds annotations to an Ingress, in pairs of name and value.
func annotated(pairs ...string) func(*networkingv1.Ingress) {
	return func(ingress *networkingv1.Ingress) {
		if ingress.Annotations == nil {
			ingress.Annotations = map[string]string{}
		}
		for i := 0; i < len(pairs); i += 2 {
			ingress.Annotations[pairs[i]] = pairs[i+1]
		}
	}
}

func canaryOf(weight string) func(*networkingv1.Ingress) {
	return annotated(nginx+"canary", "true", nginx+"canary-weight", weight)
}

// TestCanaryModeIsHeld has Ingresses whose controller would not send the share in mode
// canary. They go to old, and say why.
func TestCanaryModeIsHeld(t *testing.T) {
	t.Parallel()
	s := cluster.NewApp(t)
	s.Behind(wire.IngressNginx)
	host := func(name string) string { return name + "." + s.Host }
	for _, name := range []string{"traefik", "haproxy", "shared", "two", "own", "passthrough"} {
		s.Alias(name, world.Old)
	}
	s.Backend("mine")
	s.Ingress("traefik", leads("/", host("traefik"), "traefik"), class(wire.Traefik))
	s.Ingress("haproxy", leads("/", host("haproxy"), "haproxy"), class(wire.HAProxy))
	s.Ingress("shared", leads("/", host("shared"), "shared"))
	s.Ingress("neighbor", leads("/", host("neighbor"), "shared"))
	s.Ingress("two", leads("/", host("two"), "two"))
	s.Ingress("two-2", leads("/", host("two-2"), "two"))
	s.Ingress("own", leads("/", host("own"), "own"))
	s.Ingress("own-canary", leads("/", host("own"), "mine"), canaryOf("0"))
	for _, name := range []string{"traefik", "haproxy", "shared", "two", "own"} {
		s.ConfigureBehind(name, host(name), 100, "mode: canary")
	}
	s.ConfigureAs(s.Service+"-two-2", strings.ReplaceAll(s.TextOf(s.Service+"-two-2", host("two-2"), 20, "mode: canary"),
		world.Old+"."+s.Namespace, "two."+s.Namespace))
	for _, name := range []string{"traefik", "haproxy", "shared", "two", "two-2", "own"} {
		s.OptIn(name)
	}
	for _, name := range []string{"traefik", "haproxy", "shared", "two", "two-2", "own"} {
		s.WaitForPhase(name, bypassed)
		require.NotEmpty(t, world.Annotation(s.GetIngress(name), "reason"), name)
		s.WaitForNoIngress(name + "-migration")
	}
	for _, name := range []string{"shared", "neighbor", "two", "two-2", "own"} {
		s.ExpectSplit(0, world.Host(host(name)))
	}
}

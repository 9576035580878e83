package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/e2e/wire"
	"github.com/migration-proxy/migration-proxy/e2e/world"
)

// neighbors is the number of other Ingresses in the controller. Real controllers take the
// longer for a change, the more there are.
const neighbors = 400

// TestSwitchesBehindIngressNginx makes all switches of an Ingress under 200 requests a
// second. The controller answers with 503 while only one of its parts knows an upstream, so
// each switch must leave both Services known.
func TestSwitchesBehindIngressNginx(t *testing.T) {
	t.Parallel()
	s := cluster.NewApp(t)
	s.Behind(wire.IngressNginx)
	allSwitches(t, s)
}

func allSwitches(t *testing.T, s *world.App) {
	t.Helper()
	s.Neighbors(neighbors)
	s.Ingress("shop")
	s.Configure(50, fastFallback)
	streams := twoStreams(s)
	for _, step := range []struct {
		name string
		run  func()
	}{
		{"opt in", func() { s.OptIn("shop"); s.WaitForPhase("shop", migrating); s.WaitForSplit(50) }},
		{"fallback", func() {
			failForGET(s)
			s.WaitForPhase("shop", fallenBack)
			s.WaitForSplit(0)
		}},
		{"recovery", func() {
			s.Fail(world.New, wire.Outage{})
			s.WaitForPhase("shop", migrating)
			s.WaitForSplit(50)
		}},
		{"bypass", func() { s.Unconfigure(); s.WaitForPhase("shop", bypassed); s.WaitForSplit(0) }},
		{"return", func() { s.Configure(100); s.WaitForPhase("shop", migrating); s.WaitForSplit(100) }},
		{"opt out", func() { s.OptOut("shop"); s.WaitForIngress("shop", "restored", restored); s.WaitForSplit(0) }},
		{"opt in again", func() { s.OptIn("shop"); s.WaitForPhase("shop", migrating); s.WaitForSplit(100) }},
		{"restore", func() { s.Proxy(t, "restore", s.Namespace+"/shop"); s.WaitForSplit(0) }},
	} {
		step.run()
		for _, stream := range streams {
			report := stream.Watch()
			t.Logf("after %s: %d sent, %d failed, %d reopened: %v", step.name, report.Sent, report.Failed, report.Reopened, report.Statuses)
		}
	}
	for _, stream := range streams {
		stream.StopWithoutLoss()
	}
}

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

// TestAUsersCanaryKeepsItsHost: ingress-nginx attaches a canary to an upstream, so the
// user's canary of one host must not reach the upstream of another.
func TestAUsersCanaryKeepsItsHost(t *testing.T) {
	t.Parallel()
	s := cluster.NewApp(t)
	s.Behind(wire.IngressNginx)
	s.Backend("mine")
	s.Alias("other", world.Old)
	a, b := "a."+s.Host, "b."+s.Host
	s.Ingress("a", leads("/", a, world.Old))
	s.Ingress("a-canary", leads("/", a, "mine"), canaryOf("50"))
	s.Ingress("b", leads("/", b, "other"))
	s.ConfigureAs(s.Service+"-a", s.TextOf(s.Service+"-a", a, 0))
	s.ConfigureBehind("other", b, 0)
	for _, name := range []string{"a", "b"} {
		s.OptIn(name)
		s.WaitForPhase(name, migrating)
	}
	s.WaitForSplit(0, world.Host(b))
	world.Eventually(t, "a's own canary has its half", func(context.Context) error {
		if got := s.Send(400, world.Host(a)).Sides["mine"]; got < 140 || got > 260 {
			return fmt.Errorf("it has %d of 400 requests", got)
		}
		return nil
	})
	require.Equal(t, map[string]int{world.Old: 400}, s.Send(400, world.Host(b)).Sides, "of host b")
}

// TestNeighborWithRewriteTarget: ingress-nginx then serves all paths of the host as
// prefixes without case, and so must the proxy.
func TestNeighborWithRewriteTarget(t *testing.T) {
	t.Parallel()
	s := cluster.NewApp(t)
	s.Behind(wire.IngressNginx)
	s.Alias("other", world.Old)
	s.Ingress("one", withPath("/one", s.Host))
	s.Ingress("api", leads("/api(/|$)(.*)", s.Host, "other"), annotated(nginx+"rewrite-target", "/$2"), func(ingress *networkingv1.Ingress) {
		ingress.Spec.Rules[0].HTTP.Paths[0].PathType = new(networkingv1.PathTypeImplementationSpecific)
	})
	paths := []string{"/one", "/one/x", "/oneXYZ", "/ONE/x", "/api/v1"}
	served := func(when string) {
		for _, path := range paths {
			s.WaitForSplit(0, world.To(path))
			require.Equal(t, map[int]int{http.StatusOK: 50}, s.Send(50, world.To(path)).Statuses, "%s, %s", path, when)
		}
	}
	served("before")
	s.Configure(0, "path_prefix: /one")
	s.OptIn("one")
	s.WaitForPhase("one", migrating)
	served("at 0 %")
	require.NotZero(t, s.Counts(world.Old).Paths["/v1"], "the neighbor's path is rewritten")
}

// TestSettingsOfTheService: Traefik's settings are annotations of the Service, so they must be
// on the one that the rewritten path names.
func TestSettingsOfTheService(t *testing.T) {
	t.Parallel()
	const sticky = "traefik.ingress.kubernetes.io/service.sticky.cookie"
	s := cluster.NewApp(t)
	s.Behind(wire.Traefik)
	s.Alias("sticky", world.Old, sticky, "true", sticky+".name", "stick")
	wild := "wild." + s.Host
	s.Ingress("shop", leads("/", s.Host, "sticky"))
	s.Ingress("wild", leads("/", "*."+wild, world.Old))
	s.ConfigureBehind("sticky", s.Host, 0)
	s.ConfigureAs(s.Service+"-wild", s.TextOf(s.Service+"-wild", "*."+wild, 100))
	for _, name := range []string{"shop", "wild"} {
		s.OptIn(name)
		s.WaitForPhase(name, migrating)
	}
	s.WaitForSplit(0)
	s.WaitForSplit(100, world.Host("a."+wild))
	now := s.GetIngress("shop").Spec.Rules[0].HTTP.Paths[0].Backend.Service.Name
	service, err := s.Client.CoreV1().Services(s.Namespace).Get(t.Context(), now, metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, "true", service.Annotations[sticky], now)
	require.Equal(t, "stick", service.Annotations[sticky+".name"], now)
}

// TestTraefikUsesTLSToPortHTTPS: Traefik guesses from the name of the port, which the proxy
// Service has too, that the backend takes TLS.
func TestTraefikUsesTLSToPortHTTPS(t *testing.T) {
	t.Parallel()
	s := cluster.NewApp(t)
	s.Behind(wire.Traefik)
	s.SecureBackend("secure", world.Old)
	s.Ingress("shop", func(ingress *networkingv1.Ingress) {
		ingress.Spec.Rules[0].HTTP.Paths[0].Backend.Service = &networkingv1.IngressServiceBackend{
			Name: "secure", Port: networkingv1.ServiceBackendPort{Name: "https"},
		}
	})
	stream := s.Stream()
	text := func(scheme string) string {
		old := fmt.Sprintf("%ssecure.%s.svc.cluster.local:%d", scheme, s.Namespace, wire.TLSPort)
		return strings.Replace(s.ServiceText(50), s.OldBackend(), old, 1)
	}
	s.ConfigureAs(s.Service, text(""))
	s.OptIn("shop")
	s.WaitForIngress("shop", "old takes TLS", func(ingress *networkingv1.Ingress) error {
		return contains(world.Annotation(ingress, "reason"), "write old_backend: https://")
	})
	s.ConfigureAs(s.Service, text("https://"))
	s.WaitForPhase("shop", migrating)
	s.WaitForSplit(50)
	stream.StopWithoutLoss()
}

// TestCanaryModeIsHeld has Ingresses whose controller would not send the share in mode
// canary. They go to old, and say why.
func TestCanaryModeIsHeld(t *testing.T) {
	t.Parallel()
	s := cluster.NewApp(t)
	s.Behind(wire.IngressNginx)
	host := func(name string) string { return name + "." + s.Host }
	for _, name := range []string{"traefik", "haproxy", "shared", "two", "own"} {
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
	served := []string{"shared", "neighbor", "two", "two-2", "own"} // that the controller of this App serves
	for _, name := range served {
		s.WaitForSplit(0, world.Host(host(name)))
	}
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
	for _, name := range served {
		s.ExpectSplit(0, world.Host(host(name)))
	}
}

// TestPassthroughStaysAtOld: with ssl-passthrough the controller forwards TLS that the proxy
// cannot read, so the Ingress stays as it is.
func TestPassthroughStaysAtOld(t *testing.T) {
	t.Parallel()
	s := cluster.NewApp(t)
	s.Behind(wire.IngressNginx)
	s.Ingress("shop", annotated(nginx+"ssl-passthrough", "true"))
	before := s.GetIngress("shop").Spec
	s.Configure(100)
	require.Contains(t, s.OptIn("shop"), "ssl-passthrough", "the warning names the annotation")
	s.WaitForPhase("shop", bypassed)
	require.Contains(t, world.Annotation(s.GetIngress("shop"), "reason"), "ssl-passthrough")
	require.Equal(t, before, s.GetIngress("shop").Spec)
	s.WaitForSplit(0)
	requireNothingGenerated(t, s)
}

// TestDefaultClass: an Ingress without a class gets the cluster's default class when it is
// created, and is then like any other of that class. One from before there was a default
// class has none: no controller has to serve it, and mode proxy migrates it nevertheless.
func TestDefaultClass(t *testing.T) { // not parallel: other scenarios have Ingresses without a class
	s := cluster.NewApp(t)
	s.Behind(wire.IngressNginx)
	none := func(ingress *networkingv1.Ingress) { ingress.Spec.IngressClassName = nil }
	early := "early." + s.Host
	s.Ingress("early", leads("/", early, world.Old), none)
	annotate := func(t world.T, value string) {
		cluster.Kubectl(t, "annotate", "ingressclass", s.Class, "ingressclass.kubernetes.io/is-default-class"+value, "--overwrite")
	}
	t.Cleanup(func() { annotate(cleanup{t}, "-") })
	annotate(t, "=true")
	world.Eventually(t, "the API server knows the default class", func(context.Context) error {
		s.Kubectl(t, "delete", "ingress", "shop", "-n", s.Namespace, "--ignore-not-found")
		s.Ingress("shop", none)
		if got := s.GetIngress("shop").Spec.IngressClassName; got == nil || *got != s.Class {
			return fmt.Errorf("the Ingress has class %v", got)
		}
		return nil
	})
	before := s.IngressJSON("shop")
	s.WaitForSplit(0)
	s.Configure(50)
	s.ConfigureAs(s.Service+"-early", s.TextOf(s.Service+"-early", early, 50))
	s.OptIn("shop")
	s.OptIn("early")
	s.WaitForPhase("shop", migrating)
	s.WaitForPhase("early", migrating)
	s.WaitForSplit(50)
	require.Nil(t, s.GetIngress("early").Spec.IngressClassName)
	s.OptOut("shop")
	s.WaitForIngressJSON("shop", before)
	s.WaitForSplit(0)
}

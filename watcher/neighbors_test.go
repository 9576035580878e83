package watcher_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

// createClass creates an IngressClass for the time of the test.
func (env *testEnv) createClass(name, controller string, annotations map[string]string) {
	env.Helper()
	classes := env.client.NetworkingV1().IngressClasses()
	class := &networkingv1.IngressClass{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: annotations}, Spec: networkingv1.IngressClassSpec{Controller: controller},
	}
	_, err := classes.Create(env.Context(), class, metav1.CreateOptions{})
	require.NoError(env, err)
	env.Cleanup(func() { _ = classes.Delete(context.Background(), name, metav1.DeleteOptions{}) })
}

func (env *testEnv) deleteClass(name string) {
	env.Helper()
	require.NoError(env, env.client.NetworkingV1().IngressClasses().Delete(env.Context(), name, metav1.DeleteOptions{}))
}

// waitForReason waits until an Ingress is Bypassed for a reason that has the text,
// and has no companion.
func (env *testEnv) waitForReason(name, text string) {
	env.Helper()
	env.eventually(func() bool {
		found := env.getIngress(name)
		return found.Annotations[ingressgen.AnnotationPhase] == string(status.Bypassed) &&
			strings.Contains(found.Annotations[ingressgen.AnnotationReason], text) && env.companionAnnotation(weight) == "none"
	}, "Ingress %s Bypassed: %s", name, text)
}

// waitForCompanion waits until Ingress api migrates in mode canary.
func (env *testEnv) waitForCompanion() {
	env.Helper()
	env.waitForPhase("api", status.Migrating, "api")
	env.eventually(func() bool { return env.companionAnnotation(weight) == "20" }, "the companion")
}

// TestCanaryFollowsClass: mode canary waits until the controller of the Ingress's
// class knows canary annotations, and stops when it no longer does.
func TestCanaryFollowsClass(t *testing.T) {
	env := newTestEnv(t, 1)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	ingress := env.newIngress("api")
	ingress.Annotations[ingressgen.AnnotationMode] = "canary"
	env.createIngress(ingress)
	env.startWatcher()
	env.waitForReason("api", "no class")

	env.createClass("first", "traefik.io/ingress-controller", map[string]string{networkingv1.AnnotationIsDefaultIngressClass: "true"})
	env.waitForReason("api", "traefik.io/ingress-controller")
	env.deleteClass("first")
	env.createClass("second", ingressgen.ControllerNginx, map[string]string{networkingv1.AnnotationIsDefaultIngressClass: "true"})
	env.waitForCompanion()
	env.deleteClass("second")
	env.waitForReason("api", "no class")
}

// TestCanaryControllers: the option adds controllers.
func TestCanaryControllers(t *testing.T) {
	env := newTestEnv(t, 1)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	env.createClass("own", "example.com/own", nil)
	ingress := env.newIngress("api")
	ingress.Annotations[ingressgen.AnnotationMode], ingress.Spec.IngressClassName = "canary", new("own")
	env.createIngress(ingress)
	options := env.options()
	options.CanaryControllers = []string{"example.com/own"}
	_, stop := env.startWith(options)
	defer stop()
	env.waitForCompanion()
}

// TestCanaryFollowsNeighbors: mode canary stops while another Ingress would share
// its canary, also one that has not opted in.
func TestCanaryFollowsNeighbors(t *testing.T) {
	env := newTestEnv(t, 1)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	env.createCanary("api")
	env.startWatcher()
	env.waitForCompanion()
	ingresses := env.client.NetworkingV1().Ingresses(env.app)

	sharer := renamed(env.newIngress("api"), "sharer")
	sharer.Annotations, sharer.Spec.Rules[0].Host = map[string]string{classAnnotation: "nginx"}, "other.example"
	env.createIngress(sharer)
	env.waitForReason("api", "Ingress sharer points at api:80 too")
	sharer = env.getIngress("sharer")
	sharer.Spec.Rules[0].HTTP.Paths[0].Backend.Service.Name = "another"
	_, err := ingresses.Update(t.Context(), sharer, metav1.UpdateOptions{})
	require.NoError(t, err)
	env.waitForCompanion()

	own := renamed(env.newIngress("api"), "own")
	own.Spec.Rules[0].HTTP.Paths[0].Backend.Service.Name = "mine"
	own.Annotations = map[string]string{classAnnotation: "nginx", "nginx.ingress.kubernetes.io/canary": "true"}
	env.createIngress(own)
	env.waitForReason("api", "Ingress own is a canary of api.old.example/ already")
	require.NoError(t, ingresses.Delete(t.Context(), "own", metav1.DeleteOptions{}))
	env.waitForCompanion()
}

// TestLoosenedByNeighbor: while another Ingress makes the controller compare the
// paths of the host loosely, a path whose loose matches the proxy would send to
// another old backend points at old.
func TestLoosenedByNeighbor(t *testing.T) {
	env := newTestEnv(t, 1)
	env.createClass("nginx", ingressgen.ControllerNginx, map[string]string{networkingv1.AnnotationIsDefaultIngressClass: "true"})
	root := env.servicesConfig(map[string]int{"api": 20})
	env.writeConfig(root + "- {name: below, old_host: api.old.example, path_prefix: /below, old_backend: 'below." + env.app +
		".svc:80', new_host: n.example, new_backend: 'n.example:443', migration: {enabled: true, percentage: 20}}\n")
	below := renamed(env.newIngress("api"), "below")
	below.Spec.Rules[0].HTTP.Paths[0].Path, below.Spec.Rules[0].HTTP.Paths[0].Backend.Service.Name = "/below", "below"
	env.createIngress(below)
	env.startWatcher()
	env.waitForPhase("below", status.Migrating, proxyOf("below"))

	neighbor := renamed(env.newIngress("api"), "neighbor")
	neighbor.Spec.Rules[0].HTTP.Paths[0].Path = "/other"
	neighbor.Annotations = map[string]string{"nginx.ingress.kubernetes.io/use-regex": "true"}
	env.createIngress(neighbor)
	env.eventually(func() bool { return backendOf(env.getIngress("below")) == "below" }, "it is restored")
	require.Contains(t, env.waitForNote("below").Text, "Ingress neighbor has rewrite-target or use-regex")
	require.NoError(t, env.client.NetworkingV1().Ingresses(env.app).Delete(t.Context(), "neighbor", metav1.DeleteOptions{}))
	env.waitForPhase("below", status.Migrating, proxyOf("below"))
}

// TestTwoIngressesOfAHost has the paths of two applications of one host in an Ingress
// each: / points at the proxy while the other one has its path.
func TestTwoIngressesOfAHost(t *testing.T) {
	env := newTestEnv(t, 1)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}) + "- {name: below, old_host: api.old.example, path_prefix: /below, old_backend: 'below." +
		env.app + ".svc:80', new_host: n.example, new_backend: 'n.example:443', migration: {enabled: true, percentage: 20}}\n")
	env.createIngress(env.newIngress("api"))
	env.startWatcher()
	env.waitForReason("api", "below /below would go to the old_backend of service below")

	below := renamed(env.newIngress("api"), "below")
	below.Spec.Rules[0].HTTP.Paths = below.Spec.Rules[0].HTTP.Paths[:1]
	below.Spec.Rules[0].HTTP.Paths[0].Path, below.Spec.Rules[0].HTTP.Paths[0].Backend.Service.Name = "/below", "below"
	env.createIngress(below)
	env.waitForPhase("api", status.Migrating, proxyOf("api"))
	env.waitForPhase("below", status.Migrating, proxyOf("below"))

	_, err := env.client.NetworkingV1().Ingresses(env.app).Patch(t.Context(), "below", types.JSONPatchType,
		[]byte(`[{"op": "replace", "path": "/spec/rules/0/http/paths/0/path", "value": "/below/v2"}]`), metav1.PatchOptions{})
	require.NoError(t, err)
	env.waitForReason("api", "below /below would go to the old_backend of service below")
}

// TestNeighborOfAnotherClass: an Ingress that another controller serves shares
// nothing; when its class changes, it may.
func TestNeighborOfAnotherClass(t *testing.T) {
	env := newTestEnv(t, 1)
	env.createClass("traefik", "traefik.io/ingress-controller", nil)
	sharer := renamed(env.newIngress("api"), "sharer")
	sharer.Annotations, sharer.Spec.IngressClassName, sharer.Spec.Rules[0].Host = nil, new("traefik"), "other.example"
	env.createIngress(sharer)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	env.createCanary("api")
	env.startWatcher()
	env.waitForCompanion()
	env.deleteClass("traefik")
	env.waitForReason("api", "Ingress sharer points at api:80 too")
}

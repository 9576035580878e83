package watcher_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

func (env *testEnv) ingressExists(name string) bool {
	env.Helper()
	_, err := env.client.NetworkingV1().Ingresses(env.app).Get(env.Context(), name, metav1.GetOptions{})
	require.True(env, err == nil || apierrors.IsNotFound(err), "%v", err)
	return err == nil
}

// TestAnchor: for a class of ingress-nginx an anchor names old and proxy before
// the Ingress changes, and goes a while after it has changed back.
func TestAnchor(t *testing.T) {
	env := newTestEnv(t, 1)
	env.anchorSettle = time.Second
	env.createClass("anchored", ingressgen.ControllerNginx, nil)
	env.createClass("plain", "example.com/other", nil)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20, "web": 20}))
	for name, class := range map[string]string{"api": "anchored", "web": "plain"} {
		ingress := env.newIngress(name)
		ingress.Spec.IngressClassName = &class
		env.createIngress(ingress)
	}
	env.startWatcher()
	env.waitForPhase("web", status.Migrating, proxyOf("web"))
	env.waitForPhase("api", status.Migrating, proxyOf("api"))
	anchor := proxyOf("api") + "-anchored"
	made, pointed := env.firstWrite("ingresses", "POST", anchor), env.firstWrite("ingresses", "PATCH", "ingresses/api", proxyOf("api"))
	require.GreaterOrEqual(t, pointed.at.Sub(made.at), env.anchorSettle)
	require.True(t, env.firstWrite("services", "POST", proxyOf("api")).answered.Before(made.at), "what it names comes first")
	require.False(t, env.ingressExists(proxyOf("web")+"-plain"), "the other controller needs none")

	env.reportPhase(1, status.FallenBack, "5 failures in 60s")
	env.waitForPhase("api", status.FallenBack, "api")
	env.reportPhase(1, status.Migrating, "")
	env.waitForPhase("api", status.Migrating, proxyOf("api"))
	require.True(t, env.ingressExists(anchor), "it stays through fallback and return")

	require.NoError(t, env.client.NetworkingV1().Ingresses(env.app).Delete(t.Context(), anchor, metav1.DeleteOptions{}))
	env.eventually(func() bool { return env.ingressExists(anchor) }, "it is repaired")

	env.annotate("api", ingressgen.AnnotationEnabled, "null")
	restored := env.waitForRestored("api")
	env.eventually(func() bool { return !env.ingressExists(anchor) && !env.serviceExists(proxyOf("api")) }, "it goes with the Service")
	env.waitForQuiet() // a write is recorded only after its answer
	require.GreaterOrEqual(t, env.firstWrite("services", "DELETE", proxyOf("api")).at.Sub(restored), env.linger)
}

// TestAnchorFollowsClass: an Ingress that changes its class gets another anchor.
func TestAnchorFollowsClass(t *testing.T) {
	env := newTestEnv(t, 1)
	env.createClass("first", ingressgen.ControllerNginx, nil)
	env.createClass("second", ingressgen.ControllerNginx, nil)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	ingress := env.newIngress("api")
	ingress.Spec.IngressClassName = new("first")
	env.createIngress(ingress)
	env.startWatcher()
	env.waitForPhase("api", status.Migrating, proxyOf("api"))
	changed := env.getIngress("api")
	changed.Spec.IngressClassName = new("second")
	_, err := env.client.NetworkingV1().Ingresses(env.app).Update(t.Context(), changed, metav1.UpdateOptions{})
	require.NoError(t, err)
	env.eventually(func() bool {
		return env.ingressExists(proxyOf("api")+"-second") && !env.ingressExists(proxyOf("api")+"-first")
	}, "the anchor of the new class")
}

// createAppService creates the Service of an application, with one port.
func (env *testEnv) createAppService(name string) string {
	env.Helper()
	_, err := env.client.CoreV1().Services(env.app).Create(env.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}},
	}, metav1.CreateOptions{})
	require.NoError(env, err)
	return name
}

func (env *testEnv) annotateService(name, annotation, value string) {
	env.Helper()
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%s}}}`, annotation, value)
	_, err := env.client.CoreV1().Services(env.app).Patch(env.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	require.NoError(env, err)
}

func (env *testEnv) getService(name string) *corev1.Service {
	env.Helper()
	found, err := env.client.CoreV1().Services(env.app).Get(env.Context(), name, metav1.GetOptions{})
	require.NoError(env, err)
	return found
}

// TestServiceAnnotationsFollow: what a user says to the ingress controller at the
// old Service, then and later, holds for its proxy Service.
func TestServiceAnnotationsFollow(t *testing.T) {
	const sticky = "traefik.ingress.kubernetes.io/service.sticky.cookie"
	env := newTestEnv(t, 1)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	old := env.createAppService("api")
	env.annotateService(old, sticky, `"true"`)
	env.createIngress(env.newIngress("api"))
	env.startWatcher()
	env.waitForPhase("api", status.Migrating, proxyOf("api"))
	value := func() string { return env.getService(proxyOf("api")).Annotations[sticky] }
	require.Equal(t, "true", value())
	env.annotateService(proxyOf("api"), "tools.example.com/seen", `"yes"`)
	env.annotateService(old, sticky, `"false"`)
	env.eventually(func() bool { return value() == "false" }, "the new value")
	env.annotateService(old, sticky, "null")
	env.eventually(func() bool { return value() == "" }, "no value")
	require.Equal(t, "yes", env.getService(proxyOf("api")).Annotations["tools.example.com/seen"], "others' annotations stay")
}

// TestSharedServiceOfOlderVersion: an Ingress that an older version pointed at
// Service migration-proxy gets a proxy Service of its own, and the old one goes.
func TestSharedServiceOfOlderVersion(t *testing.T) {
	env := newTestEnv(t, 1)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	shared := ingressgen.ProxyService(env.app, networkingv1.IngressServiceBackend{Name: "x"}, nil)
	shared.Name = "migration-proxy"
	_, err := env.client.CoreV1().Services(env.app).Create(t.Context(), shared, metav1.CreateOptions{})
	require.NoError(t, err)
	ingress := env.newIngress("api")
	ingress.Annotations[ingressgen.AnnotationPhase] = string(status.Migrating)
	ingress.Annotations[ingressgen.AnnotationOriginal] = `{"backends":[{"host":"api.old.example","path":"/","pathType":"Prefix","backend":{"name":"api","port":{"number":80}}}]}`
	ingress.Spec.Rules[0].HTTP.Paths[0].Backend.Service.Name = "migration-proxy"
	env.createIngress(ingress)
	env.startWatcher()
	env.waitForPhase("api", status.Migrating, proxyOf("api"))
	env.eventually(func() bool { return !env.serviceExists("migration-proxy") }, "the shared Service")
}

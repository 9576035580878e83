package watcher_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/internal/status"
)

// TestOldServiceSaysWhatItSpeaks: the Ingress follows when the old Service says, by an
// annotation or by appProtocol, that it does not speak what the migration config says.
func TestOldServiceSaysWhatItSpeaks(t *testing.T) {
	env := newTestEnv(t, 1)
	env.createClass("istio", "istio.io/ingress-controller", nil)
	env.createClass("haproxy", "haproxy-ingress.github.io/controller", nil)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20, "web": 20}))
	const annotation = "haproxy-ingress.github.io/backend-protocol"
	env.annotateService(env.createAppService("web"), annotation, `"h2"`)
	env.createAppService("api")
	env.setAppProtocol("api", "http")
	for name, class := range map[string]string{"api": "istio", "web": "haproxy"} {
		ingress := env.newIngress(name)
		ingress.Spec.IngressClassName = &class
		env.createIngress(ingress)
	}
	env.startWatcher()
	env.waitForReason("web", annotation+" of Service web says that it speaks HTTP/2; write protocol: grpc")
	require.Equal(t, "web", backendOf(env.getIngress("web")), "as its user wrote it")
	env.waitForPhase("api", status.Migrating, proxyOf("api"))

	env.annotateService("web", annotation, "null")
	env.waitForPhase("web", status.Migrating, proxyOf("web"))
	env.setAppProtocol("api", "kubernetes.io/h2c")
	env.waitForReason("api", "appProtocol of Service api says that it speaks HTTP/2")
	require.Equal(t, "api", backendOf(env.getIngress("api")))
	require.Equal(t, "http", *env.getService(proxyOf("web")).Spec.Ports[0].AppProtocol, "what the proxy takes")
}

// TestFirstSwitchWaitsForReplicas: an edit that ends a hold, and an Ingress that is opted in
// after an edit, send nothing to a replica that still does what the config before said. The
// share of an Ingress that migrates already waits for nobody.
func TestFirstSwitchWaitsForReplicas(t *testing.T) {
	env := newTestEnv(t, 2)
	env.createClass("istio", "istio.io/ingress-controller", nil)
	text := env.servicesConfig(map[string]int{"api": 20, "web": 20, "shop": 20})
	env.writeConfig(text)
	env.createAppService("web")
	env.setAppProtocol("web", "kubernetes.io/h2c")
	web := env.newIngress("web")
	web.Spec.IngressClassName = new("istio")
	env.createIngress(web)
	env.startWatcher()
	env.waitForReason("web", "write protocol: grpc")
	env.createCanary("api")
	env.waitForCompanion()

	edited := strings.Replace(strings.ReplaceAll(text, "percentage: 20", "percentage: 30"), "name: web,", "name: web, protocol: grpc,", 1)
	env.putConfigMap(env.configMap(edited))
	env.eventually(func() bool { return env.companionAnnotation(weight) == "30" }, "the new share")
	env.createCanary("shop")
	for served := range len(env.proxies) {
		env.waitForPolls()
		require.Equal(t, "web", backendOf(env.getIngress("web")), "%d of 2 replicas serve the edit", served)
		_, err := env.client.NetworkingV1().Ingresses(env.app).Get(t.Context(), "shop-migration", metav1.GetOptions{})
		require.True(t, apierrors.IsNotFound(err), "%d of 2 replicas serve the edit: %v", served, err)
		env.serve(edited, env.proxies[served])
	}
	env.waitForPhase("web", status.Migrating, proxyOf("web"))
	env.waitForPhase("shop", status.Migrating, "shop")
}

func (env *testEnv) setAppProtocol(service, protocol string) {
	env.Helper()
	patch := fmt.Sprintf(`{"spec":{"ports":[{"port":80,"appProtocol":%q}]}}`, protocol)
	_, err := env.client.CoreV1().Services(env.app).Patch(env.Context(), service, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
	require.NoError(env, err)
}

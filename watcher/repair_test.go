package watcher_test

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

// companionAnnotation is an annotation of the companion of Ingress api; "none"
// without a companion.
func (env *testEnv) companionAnnotation(annotation string) string {
	env.Helper()
	found, err := env.client.NetworkingV1().Ingresses(env.app).Get(env.Context(), "api-migration", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "none"
	}
	require.NoError(env, err)
	return found.Annotations[annotation]
}

const (
	weight   = "nginx.ingress.kubernetes.io/canary-weight"
	byHeader = "nginx.ingress.kubernetes.io/canary-by-header"
)

// TestForeignLabelsStay: labels and annotations that a cluster's tools write on
// our objects stay, because they would write them again; our own stale ones are
// removed.
func TestForeignLabelsStay(t *testing.T) {
	env := newTestEnv(t, 2)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	env.createCanary("api")
	env.startWatcher()
	env.eventually(func() bool { return env.companionAnnotation(weight) == "20" }, "the companion")
	env.waitForQuiet()
	patch := []byte(`{"metadata":{"labels":{"theirs":"yes"},"annotations":{"theirs":"yes","` + byHeader + `":"X-Stale"}}}`)
	_, err := env.client.NetworkingV1().Ingresses(env.app).Patch(t.Context(), "api-migration", types.MergePatchType, patch, metav1.PatchOptions{})
	require.NoError(t, err)
	_, err = env.client.CoreV1().Services(env.app).Patch(t.Context(), "api-migration", types.MergePatchType, patch, metav1.PatchOptions{})
	require.NoError(t, err)
	name := env.slicesOf("api-migration")[0].Name
	_, err = env.client.DiscoveryV1().EndpointSlices(env.app).Patch(t.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{})
	require.NoError(t, err)

	env.eventually(func() bool { return env.companionAnnotation(byHeader) == "" }, "the stale annotation is removed")
	env.waitForQuiet()
	require.Len(t, env.writes.of("services"), 1, "it was written once, when it was made")
	require.Len(t, env.writes.of("endpointslices"), 1)
	env.proxies[0].ready = false
	env.writeEndpoints()
	env.eventually(func() bool { return !*env.slicesOf("api-migration")[0].Endpoints[0].Conditions.Ready }, "the endpoint")
	env.writeConfig(env.servicesConfig(map[string]int{"api": 35}))
	env.eventually(func() bool { return env.companionAnnotation(weight) == "35" }, "the weight")
	require.Equal(t, "yes", env.companionAnnotation("theirs"))
	require.Equal(t, "yes", env.getIngress("api-migration").Labels["theirs"])
	require.Equal(t, "yes", env.slicesOf("api-migration")[0].Labels["theirs"])
	service, err := env.client.CoreV1().Services(env.app).Get(t.Context(), "api-migration", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, "yes", service.Labels["theirs"])
}

// TestFallbackWithoutServices: traffic leaves a new cluster that fails also when
// writes of our Services and slices are refused.
func TestFallbackWithoutServices(t *testing.T) {
	env := newTestEnv(t, 2)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	env.createCanary("api")
	options := env.options()
	var refused atomic.Bool
	intercept(options, func(request *http.Request, next http.RoundTripper) (*http.Response, error) {
		kind := apiWrite{path: request.URL.Path}.kind()
		if refused.Load() && request.Method != http.MethodGet && (kind == "services" || kind == "endpointslices") {
			request.Header.Set("Impersonate-User", "nobody") // a user without rights
		}
		return next.RoundTrip(request)
	})
	env.startWith(options)
	env.eventually(func() bool { return env.companionAnnotation(weight) == "20" }, "the companion")
	env.waitForQuiet()
	refused.Store(true)
	env.proxies[0].ready = false
	env.writeEndpoints()
	env.eventually(func() bool {
		writes := env.writes.of("endpointslices")
		return writes[len(writes)-1].status == http.StatusForbidden
	}, "the slice is refused")
	env.reportPhase(2, status.FallenBack, "5 failures in 60s")
	env.eventually(func() bool { return env.companionAnnotation(weight) == "0" }, "no request goes to new")
}

// TestResume: a Service that others removed during a pause is new again to the
// ingress controllers.
func TestResume(t *testing.T) {
	env := newTestEnv(t, 1)
	env.notice, env.linger = 500*time.Millisecond, time.Minute
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	env.createIngress(env.newIngress("api"))
	env.startWatcher()
	env.waitForPhase("api", status.Migrating, proxyOf("api"))
	env.pause(`"restore --all"`)
	env.waitForPhase("api", "", "api")
	require.NoError(t, env.client.CoreV1().Services(env.app).Delete(t.Context(), proxyOf("api"), metav1.DeleteOptions{}))
	env.waitForCleanup()
	env.pause(`null`)
	env.waitForPhase("api", status.Migrating, proxyOf("api"))
	env.waitForQuiet() // a write is recorded only after its answer
	made, pointed := env.writes.of("services"), env.writes.of("ingresses")
	require.GreaterOrEqual(t, pointed[len(pointed)-1].at.Sub(made[len(made)-1].at), env.notice)
}

// TestOwnDeleteIsKnown before the watch delivers it: an Ingress that opts in again
// at that moment is not pointed at a Service that is gone.
func TestOwnDeleteIsKnown(t *testing.T) {
	env := newTestEnv(t, 1)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	env.createIngress(env.newIngress("api"))
	options, slow := env.options(), newGate()
	intercept(options, slow.watch("services"))
	env.startWith(options)
	env.waitForPhase("api", status.Migrating, proxyOf("api"))
	slow.shut()
	env.annotate("api", ingressgen.AnnotationEnabled, "null")
	env.eventually(func() bool { _, found := env.writes.find("services", "DELETE"); return found }, "the Service is deleted")
	env.annotate("api", ingressgen.AnnotationEnabled, `"true"`)
	env.waitForPhase("api", status.Migrating, proxyOf("api"))
	require.True(t, env.serviceExists(proxyOf("api")))
	slow.release()
	env.waitForQuiet()
	require.True(t, env.serviceExists(proxyOf("api")))
	require.Len(t, env.slicesOf(proxyOf("api")), 1)
}

// TestLateAnswer: somebody deletes the Service, and the watch delivers that,
// before the API server's answer to its creation arrives.
func TestLateAnswer(t *testing.T) {
	env := newTestEnv(t, 1)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	env.createIngress(env.newIngress("api"))
	options, watched := env.options(), newGate()
	var once sync.Once
	intercept(options, func(request *http.Request, next http.RoundTripper) (*http.Response, error) {
		answer, err := watched.watch("services")(request, next)
		if request.Method == http.MethodPost && strings.HasSuffix(request.URL.Path, "/services") {
			once.Do(func() {
				require.NoError(t, env.client.CoreV1().Services(env.app).Delete(t.Context(), proxyOf("api"), metav1.DeleteOptions{}))
				select {
				case <-watched.deleted:
				case <-request.Context().Done():
				}
			})
		}
		return answer, err
	})
	env.startWith(options)
	env.waitForPhase("api", status.Migrating, proxyOf("api"))
	require.True(t, env.serviceExists(proxyOf("api")), "what the Ingress points at")
}

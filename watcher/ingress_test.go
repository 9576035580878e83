package watcher_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

// TestIngressLifecycle: an Ingress opts in, its share changes, it opts out. What
// the user wrote comes back, and nothing of the migration proxy stays.
func TestIngressLifecycle(t *testing.T) {
	env := newTestEnv(t, 2)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	env.createIngress(env.newIngress("api"))
	before := env.getIngress("api")
	env.startWatcher()

	found := env.waitForPhase("api", status.Migrating, proxyOf("api"))
	require.Equal(t, "20", found.Annotations[ingressgen.AnnotationShare])
	require.Equal(t, "solver", found.Spec.Rules[0].HTTP.Paths[1].Backend.Service.Name)
	require.NotEmpty(t, env.waitForEvent(env.app, "api", "Rewritten").Note)
	env.waitForEvent(env.home, names.ConfigMap, "ConfigAccepted")
	require.Equal(t, []string{"services", "endpointslices"}, env.writtenBefore("ingresses", "services", "endpointslices"),
		"what the Ingress points at comes first")
	service, err := env.client.CoreV1().Services(env.app).Get(t.Context(), proxyOf("api"), metav1.GetOptions{})
	require.NoError(t, err)
	require.Empty(t, service.Spec.Selector)
	slice, err := env.client.DiscoveryV1().EndpointSlices(env.app).Get(t.Context(), proxyOf("api")+"-migration-proxy-abcde", metav1.GetOptions{})
	require.NoError(t, err)
	require.Len(t, slice.Endpoints, 2)

	env.writeConfig(env.servicesConfig(map[string]int{"api": 50}))
	env.eventually(func() bool { return env.getIngress("api").Annotations[ingressgen.AnnotationShare] == "50" }, "the new share")

	env.annotate("api", ingressgen.AnnotationEnabled, "null")
	found = env.waitForPhase("api", "", "api")
	require.Equal(t, before.Spec, found.Spec)
	require.Equal(t, map[string]string{"mine": "kept"}, found.Annotations)
	env.waitForEvent(env.app, "api", "Restored")
	env.waitForCleanup()
}

// writtenBefore returns those of the kinds that were written before the first
// write of another kind.
func (env *testEnv) writtenBefore(kind string, kinds ...string) []string {
	env.Helper()
	first := env.writes.of(kind)
	require.NotEmpty(env, first)
	var found []string
	for _, one := range kinds {
		if writes := env.writes.of(one); len(writes) > 0 && writes[0].at.Before(first[0].at) {
			found = append(found, one)
		}
	}
	return found
}

// waitForCleanup waits until nothing of the migration proxy is left in the
// application's namespace.
func (env *testEnv) waitForCleanup() {
	env.Helper()
	env.eventually(func() bool {
		_, err := env.client.CoreV1().Services(env.app).Get(env.Context(), proxyOf("api"), metav1.GetOptions{})
		slices, listErr := env.client.DiscoveryV1().EndpointSlices(env.app).List(env.Context(), metav1.ListOptions{})
		require.NoError(env, listErr)
		return apierrors.IsNotFound(err) && len(slices.Items) == 0
	}, "the Service and its slices go")
}

// TestDeletedIngress: the objects that the Ingress needed are removed, too.
func TestDeletedIngress(t *testing.T) {
	env := newTestEnv(t, 1)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	env.createIngress(env.newIngress("api"))
	env.startWatcher()
	env.waitForPhase("api", status.Migrating, proxyOf("api"))
	require.NoError(t, env.client.NetworkingV1().Ingresses(env.app).Delete(t.Context(), "api", metav1.DeleteOptions{}))
	env.waitForCleanup()
}

// TestNoNeedlessWrites: when nothing changes nothing is written, and a burst of
// edits is few writes.
func TestNoNeedlessWrites(t *testing.T) {
	env := newTestEnv(t, 2)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	env.createIngress(env.newIngress("api"))
	env.startWatcher()
	env.waitForPhase("api", status.Migrating, proxyOf("api"))
	env.waitForEvent(env.app, "api", "Rewritten")
	settled := env.waitForQuiet()

	env.waitForPolls()
	require.Equal(t, settled, env.writes.of(""))

	for share := range 50 {
		env.writeConfig(env.servicesConfig(map[string]int{"api": 21 + share}))
	}
	env.eventually(func() bool { return env.getIngress("api").Annotations[ingressgen.AnnotationShare] == "70" }, "the last share")
	require.Less(t, len(env.writes.of("ingresses")), 10, "50 edits")
}

// waitForQuiet waits until no write has come for a second, and returns all writes.
func (env *testEnv) waitForQuiet() []apiWrite {
	env.Helper()
	var last []apiWrite
	env.eventually(func() bool {
		last = env.writes.of("")
		return len(last) > 0 && time.Since(last[len(last)-1].at) > time.Second
	}, "the writes end")
	return last
}

// TestClusterFailover: the state is written first, then the Ingress, with an
// Event that has the reasons of the replicas; and all the way back.
func TestClusterFailover(t *testing.T) {
	env := newTestEnv(t, 3)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	env.createIngress(env.newIngress("api"))
	env.startWatcher()
	env.waitForPhase("api", status.Migrating, proxyOf("api"))

	env.reportPhase(1, status.FallenBack, "5 failures in 60s")
	env.waitForPolls()
	env.waitForPhase("api", status.Migrating, proxyOf("api"))

	env.reportPhase(2, status.FallenBack, "5 failures in 60s")
	tripped := time.Now()
	found := env.waitForPhase("api", status.FallenBack, "api")
	t.Logf("reverted %s after the second replica fell back", time.Since(tripped))
	const reasons = "2 of 3 ready replicas fell back: proxy-10.1.0.1: 5 failures in 60s; proxy-10.1.0.2: 5 failures in 60s"
	require.Contains(t, found.Annotations[ingressgen.AnnotationReason], reasons)
	require.Contains(t, env.waitForEvent(env.app, "api", "FellBack").Note, reasons)
	require.Equal(t, status.FallenBack, env.storedState().Services["api"].Phase)
	env.requireStoredFirst(`FallenBack`)

	env.reportPhase(1, status.Recovering, "")
	env.waitForPolls()
	env.waitForPhase("api", status.FallenBack, "api")
	env.reportPhase(2, status.Recovering, "")
	env.waitForPhase("api", status.Migrating, proxyOf("api"))
	env.waitForEvent(env.app, "api", "Recovered")
}

// requireStoredFirst: migration-state had the word before it was sent to any
// Ingress.
func (env *testEnv) requireStoredFirst(word string) {
	env.Helper()
	first := func(kind string) (found apiWrite) {
		env.eventually(func() bool { // noted when it is answered, see firstWrite
			all := env.writes.of(kind)
			i := slices.IndexFunc(all, func(one apiWrite) bool { return strings.Contains(one.body, word) })
			if i >= 0 {
				found = all[i]
			}
			return i >= 0
		}, "%s is written to %s", word, kind)
		return found
	}
	require.True(env, first("configmaps").answered.Before(first("ingresses").at), "migration-state is written first")
}

// TestBypass: no replica is ready, for longer than an endpoint flaps.
func TestBypass(t *testing.T) {
	env := newTestEnv(t, 2)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	env.createIngress(env.newIngress("api"))
	env.startWatcher()
	env.waitForPhase("api", status.Migrating, proxyOf("api"))
	env.setReady(false)
	since := time.Now()
	env.waitForPhase("api", status.Bypassed, "api")
	require.Greater(t, time.Since(since), 1500*time.Millisecond, "an endpoint that flaps changes nothing")
	env.waitForEvent(env.app, "api", "Bypassed")
	env.setReady(true)
	since = time.Now()
	env.waitForPhase("api", status.Migrating, proxyOf("api"))
	t.Logf("back %s after the replicas", time.Since(since))
}

func (env *testEnv) setReady(ready bool) {
	env.Helper()
	for _, p := range env.proxies {
		p.ready = ready
	}
	env.writeEndpoints()
}

// TestUnreachableStatus: the replicas are ready, but their status cannot be
// fetched. The reason says why.
func TestUnreachableStatus(t *testing.T) {
	env := newTestEnv(t, 2)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	env.createIngress(env.newIngress("api"))
	env.setDown(true)
	env.startWatcher()
	reason := env.waitForPhase("api", status.Bypassed, "api").Annotations[ingressgen.AnnotationReason]
	require.Contains(t, reason, "the status of 2 ready replicas of the migration proxy cannot be fetched: get the status of proxy-10.1.0.1: it answers 500")
	env.setDown(false)
	env.waitForPhase("api", status.Migrating, proxyOf("api"))
}

func (env *testEnv) setDown(down bool) {
	for _, p := range env.proxies {
		p.mu.Lock()
		p.down = down
		p.mu.Unlock()
	}
}

// TestPause is the command restore --all: nothing of the migration proxy stays in
// an Ingress, what others delete is not made again, and the end of the pause brings
// all of it back.
func TestPause(t *testing.T) {
	env := newTestEnv(t, 1)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	env.createIngress(env.newIngress("api"))
	env.startWatcher()
	env.waitForPhase("api", status.Migrating, proxyOf("api"))
	env.pause(`"restore --all"`)
	found := env.waitForPhase("api", "", "api")
	require.Equal(t, map[string]string{ingressgen.AnnotationEnabled: "true", "mine": "kept"}, found.Annotations)
	env.waitForCleanup()
	require.Equal(t, "restore --all", env.storedState().Paused, "the watcher leaves the key alone")
	env.pause(`null`)
	env.waitForPhase("api", status.Migrating, proxyOf("api"))
}

func (env *testEnv) pause(value string) {
	env.Helper()
	env.patchConfigMap(names.StateMap, `{"data":{"paused":`+value+`}}`)
}

// TestInvalidConfig: the last good config stays in force, also for a watcher that
// starts while the newest is invalid.
func TestInvalidConfig(t *testing.T) {
	env := newTestEnv(t, 1)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	env.createIngress(env.newIngress("api"))
	stop := env.startWatcher()
	env.waitForPhase("api", status.Migrating, proxyOf("api"))
	env.writeConfig("services: [{name: api, percent: 5}]")
	require.Contains(t, env.waitForEvent(env.home, names.ConfigMap, "ConfigRejected").Note, "migration-config:1:24")
	stop()
	env.createIngress(env.newIngress("web"))
	env.createIngress(renamed(env.newIngress("api"), "second"))
	env.startWatcher()
	env.waitForPhase("second", status.Migrating, proxyOf("api"))
	require.Equal(t, "web", backendOf(env.getIngress("web")))
}

// TestForeignService: a foreign Service with the name of a proxy Service is left
// alone, and the Ingress is not rewritten.
func TestForeignService(t *testing.T) {
	env := newTestEnv(t, 1)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	foreign := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: proxyOf("api")}, Spec: corev1.ServiceSpec{
		Ports: []corev1.ServicePort{{Port: 80}}, Selector: map[string]string{"app": "mine"},
	}}
	created, err := env.client.CoreV1().Services(env.app).Create(t.Context(), foreign, metav1.CreateOptions{})
	require.NoError(t, err)
	env.createIngress(env.newIngress("api"))
	env.startWatcher()
	require.Contains(t, env.waitForEvent(env.app, "api", "NotRewritten").Note, "is not the migration proxy's")
	found := env.waitForPhase("api", status.Bypassed, "api")
	require.Contains(t, found.Annotations[ingressgen.AnnotationReason], "is not the migration proxy's", "also when the Event is gone")
	kept, err := env.client.CoreV1().Services(env.app).Get(t.Context(), proxyOf("api"), metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, created.ResourceVersion, kept.ResourceVersion)
	require.NoError(t, env.client.CoreV1().Services(env.app).Delete(t.Context(), proxyOf("api"), metav1.DeleteOptions{}))
	env.waitForPhase("api", status.Migrating, proxyOf("api"))
}

// TestOpenedService: a user who may write Services in a namespace cannot open the
// proxy's Service, which leads to the applications of all namespaces, nor keep
// requests from some replicas.
func TestOpenedService(t *testing.T) {
	for name, patch := range map[string]string{
		"type":         `{"spec":{"type":"LoadBalancer"}}`,
		"external IPs": `{"spec":{"externalIPs":["192.0.2.1"]}}`,
		"another name": `{"spec":{"type":"ExternalName","externalName":"example.com"}}`,
		"affinity":     `{"spec":{"sessionAffinity":"ClientIP","internalTrafficPolicy":"Local"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			env := newTestEnv(t, 1)
			env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
			env.createIngress(env.newIngress("api"))
			env.startWatcher()
			env.waitForPhase("api", status.Migrating, proxyOf("api"))
			services := env.client.CoreV1().Services(env.app)
			opened, err := services.Patch(t.Context(), proxyOf("api"), types.MergePatchType, []byte(patch), metav1.PatchOptions{})
			require.NoError(t, err)
			env.eventually(func() bool {
				found, err := services.Get(t.Context(), proxyOf("api"), metav1.GetOptions{})
				return err == nil && found.ResourceVersion != opened.ResourceVersion &&
					found.Spec.Type == corev1.ServiceTypeClusterIP && len(found.Spec.ExternalIPs) == 0 &&
					found.Spec.SessionAffinity == corev1.ServiceAffinityNone && *found.Spec.InternalTrafficPolicy == corev1.ServiceInternalTrafficPolicyCluster
			}, "the Service is closed again")
		})
	}
}

// TestNamedPort: an Ingress is created before its Service, as from a folder of
// manifests, and nobody writes either again.
func TestNamedPort(t *testing.T) {
	env := newTestEnv(t, 1)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	ingress := env.newIngress("api")
	ingress.Spec.Rules[0].HTTP.Paths[0].Backend.Service.Port = networkingv1.ServiceBackendPort{Name: "web"}
	env.createIngress(ingress)
	env.startWatcher()
	require.Contains(t, env.waitForPhase("api", status.Bypassed, "api").Annotations[ingressgen.AnnotationReason], "no port web that is known")
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "api"}, Spec: corev1.ServiceSpec{
		Ports: []corev1.ServicePort{{Name: "web", Port: 80}},
	}}
	_, err := env.client.CoreV1().Services(env.app).Create(t.Context(), service, metav1.CreateOptions{})
	require.NoError(t, err)
	env.waitForPhase("api", status.Migrating, proxyOfPort("api", networkingv1.ServiceBackendPort{Name: "web"}))
}

// TestRepair: what others delete or overwrite is repaired.
func TestRepair(t *testing.T) {
	env := newTestEnv(t, 1)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	env.createIngress(env.newIngress("api"))
	env.startWatcher()
	env.waitForPhase("api", status.Migrating, proxyOf("api"))
	require.NoError(t, env.client.CoreV1().Services(env.app).Delete(t.Context(), proxyOf("api"), metav1.DeleteOptions{}))
	env.eventually(func() bool {
		_, err := env.client.CoreV1().Services(env.app).Get(t.Context(), proxyOf("api"), metav1.GetOptions{})
		return err == nil
	}, "the Service is back")
	// A manifest without our annotations, while admission is away.
	manifest := env.newIngress("api")
	manifest.ResourceVersion = env.getIngress("api").ResourceVersion
	_, err := env.client.NetworkingV1().Ingresses(env.app).Update(t.Context(), manifest, metav1.UpdateOptions{})
	require.NoError(t, err)
	env.waitForPhase("api", status.Migrating, proxyOf("api"))
}

// TestCanary: the companion is made, changed and removed.
func TestCanary(t *testing.T) {
	env := newTestEnv(t, 1)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	env.createCanary("api")
	env.startWatcher()
	env.waitForPhase("api", status.Migrating, "api")
	require.Equal(t, "20", env.companionAnnotation(weight))
	env.writeConfig(env.servicesConfig(map[string]int{"api": 35}))
	env.eventually(func() bool { return env.companionAnnotation(weight) == "35" }, "the new weight")
	env.waitForQuiet()
	writes := len(env.writes.of(""))
	env.waitForPolls()
	require.Len(t, env.writes.of(""), writes, "the companion is as wanted")
	env.annotate("api", ingressgen.AnnotationEnabled, `"false"`)
	env.eventually(func() bool { return env.companionAnnotation(weight) == "none" }, "no companion")
	env.waitForCleanup()
}

// TestLeavesNothing: a watcher that has ended leaves no goroutine.
func TestLeavesNothing(t *testing.T) {
	env := newTestEnv(t, 1)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	env.createIngress(env.newIngress("api"))
	before := goleak.IgnoreCurrent()
	stop := env.startWatcher()
	env.waitForPhase("api", status.Migrating, proxyOf("api"))
	stop()
	env.proxies[0].server.CloseClientConnections()
	http.DefaultClient.CloseIdleConnections()
	goleak.VerifyNone(t, before, goleak.IgnoreAnyFunction("net/http.(*http2ClientConn).readLoop"),
		goleak.IgnoreAnyFunction("golang.org/x/net/http2.(*clientConnReadLoop).run"))
}

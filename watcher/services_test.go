package watcher_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

// firstWrite is the first write with all the words. A write is noted when it is answered, so
// its effect may be seen a moment before.
func (env *testEnv) firstWrite(kind string, words ...string) (found apiWrite) {
	env.Helper()
	env.eventually(func() (ok bool) { found, ok = env.writes.find(kind, words...); return ok }, "%s with %v", kind, words)
	return found
}

// TestServiceLifecycle: a Service exists for a moment before an Ingress points at
// it, and for a while after none does.
func TestServiceLifecycle(t *testing.T) {
	env := newTestEnv(t, 1)
	env.notice = 500 * time.Millisecond
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	env.createIngress(env.newIngress("api"))
	env.startWatcher()
	env.waitForPhase("api", status.Migrating, proxyOf("api"))
	made, pointed := env.firstWrite("services", "POST"), env.firstWrite("ingresses", "PATCH")
	require.GreaterOrEqual(t, pointed.at.Sub(made.at), env.notice, "ingress controllers see it first")
	require.True(t, env.firstWrite("endpointslices", "POST").answered.Before(made.at), "with endpoints")
	env.waitForEvent(env.app, "api", "Rewritten")

	env.createIngress(renamed(env.newIngress("api"), "second"))
	created := time.Now()
	env.waitForPhase("second", status.Migrating, proxyOf("api"))
	t.Logf("a second Ingress took %s", time.Since(created))

	for _, name := range []string{"api", "second"} {
		env.annotate(name, ingressgen.AnnotationEnabled, "null")
	}
	restored := env.waitForRestored("api", "second")
	env.waitForCleanup()
	require.GreaterOrEqual(t, env.firstWrite("services", "DELETE").at.Sub(restored), env.linger)

	env.annotate("api", ingressgen.AnnotationEnabled, `"true"`)
	env.waitForPhase("api", status.Migrating, proxyOf("api"))
}

// waitForRestored waits until the Ingresses are as their user wrote them, and
// gives a time before that.
func (env *testEnv) waitForRestored(names ...string) time.Time {
	env.Helper()
	before := time.Now()
	for _, name := range names {
		env.eventually(func() bool { return !ingressgen.Touched(env.getIngress(name)) }, "%s is restored", name)
	}
	return before
}

// TestLeftByAdmission: an Ingress that admission left as it is, because only the
// watcher points it at the proxy, is rewritten, and that is one Event.
func TestLeftByAdmission(t *testing.T) {
	env := newTestEnv(t, 1)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	env.startWatcher()
	ingress := env.newIngress("api")
	ingress.Annotations[ingressgen.AnnotationPhase] = string(status.Bypassed)
	ingress.Annotations[ingressgen.AnnotationReason] = ingressgen.ReasonWaiting
	env.createIngress(ingress)
	env.waitForPhase("api", status.Migrating, proxyOf("api"))
	env.waitForEvent(env.app, "api", "Rewritten")
	events := env.events(env.app)
	require.Len(t, events, 1)
}

// createCanary creates an Ingress in mode canary, for ingress-nginx.
func (env *testEnv) createCanary(name string) {
	env.Helper()
	ingress := env.newIngress(name)
	ingress.Annotations[ingressgen.AnnotationMode], ingress.Annotations[classAnnotation] = "canary", "nginx"
	env.createIngress(ingress)
}

const classAnnotation = "kubernetes.io/ingress.class"

// TestCompanionServices: two companions of a namespace have two Services, because
// ingress-nginx keeps the split with the Service; also in the home namespace.
func TestCompanionServices(t *testing.T) {
	for _, home := range []bool{false, true} {
		t.Run(fmt.Sprintf("home=%v", home), func(t *testing.T) {
			env := newTestEnv(t, 2)
			if home {
				env.app = env.home
			}
			env.writeConfig(env.servicesConfig(map[string]int{"api": 20, "web": 60}))
			env.createCanary("api")
			env.createCanary("web")
			env.startWatcher()
			for _, name := range []string{"api", "web"} {
				env.requireOwnService(name)
			}
			_, err := env.client.CoreV1().Services(env.app).Get(t.Context(), proxyOf("api"), metav1.GetOptions{})
			require.True(t, apierrors.IsNotFound(err), "nothing points at it")

			env.proxies[0].ready = false
			env.writeEndpoints()
			env.eventually(func() bool { return len(env.withoutFirstReplica()) == 2 }, "both have the endpoint")
			require.NoError(t, env.client.CoreV1().Services(env.app).Delete(t.Context(), "api-migration", metav1.DeleteOptions{}))
			env.eventually(func() bool { return env.serviceExists("api-migration") }, "it is repaired")

			require.NoError(t, env.client.NetworkingV1().Ingresses(env.app).Delete(t.Context(), "web", metav1.DeleteOptions{}))
			env.eventually(func() bool { return !env.serviceExists("web-migration") }, "it is removed with its Ingress")
			env.annotate("api", ingressgen.AnnotationMode, "null")
			env.eventually(func() bool { return !env.serviceExists("api-migration") && len(env.slicesOf("api-migration")) == 0 }, "it is removed with the mode")
		})
	}
}

// requireOwnService: the companion of an Ingress points at a Service of its own,
// which was made before it, with endpoints, and belongs to the Ingress.
func (env *testEnv) requireOwnService(name string) {
	env.Helper()
	companion := name + "-migration"
	env.eventually(func() bool {
		_, err := env.client.NetworkingV1().Ingresses(env.app).Get(env.Context(), companion, metav1.GetOptions{})
		return err == nil
	}, "companion %s", companion)
	require.Equal(env, companion, backendOf(env.getIngress(companion)))
	service, err := env.client.CoreV1().Services(env.app).Get(env.Context(), companion, metav1.GetOptions{})
	require.NoError(env, err)
	require.Empty(env, service.Spec.Selector)
	require.Equal(env, env.getIngress(name).UID, service.OwnerReferences[0].UID)
	slices := env.slicesOf(companion)
	require.Len(env, slices, 1)
	require.Equal(env, service.OwnerReferences, slices[0].OwnerReferences)
	require.Len(env, slices[0].Endpoints, 2)
	settled := env.firstWrite("ingresses", "POST", companion).at.Sub(env.firstWrite("services", "POST", companion).at)
	require.GreaterOrEqual(env, settled, env.notice)
}

func (env *testEnv) serviceExists(service string) bool {
	env.Helper()
	_, err := env.client.CoreV1().Services(env.app).Get(env.Context(), service, metav1.GetOptions{})
	return err == nil
}

// TestForeignCompanionService: a foreign Service with the name of a companion is
// left alone, and the Ingress is not migrated.
func TestForeignCompanionService(t *testing.T) {
	env := newTestEnv(t, 1)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	foreign := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "api-migration"}, Spec: corev1.ServiceSpec{
		Ports: []corev1.ServicePort{{Port: 80}}, Selector: map[string]string{"app": "mine"},
	}}
	created, err := env.client.CoreV1().Services(env.app).Create(t.Context(), foreign, metav1.CreateOptions{})
	require.NoError(t, err)
	env.createCanary("api")
	env.startWatcher()
	require.Contains(t, env.waitForEvent(env.app, "api", "NotRewritten").Note, "Service "+env.app+"/api-migration exists and is not the migration proxy's")
	env.waitForPhase("api", status.Bypassed, "api")
	env.waitForQuiet()
	_, err = env.client.NetworkingV1().Ingresses(env.app).Get(t.Context(), "api-migration", metav1.GetOptions{})
	require.True(t, apierrors.IsNotFound(err))
	kept, err := env.client.CoreV1().Services(env.app).Get(t.Context(), "api-migration", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, created.ResourceVersion, kept.ResourceVersion)
	require.Empty(t, env.writes.of("endpointslices"), "a foreign Service gets no endpoints")
}

// slicesOf are our slices of a Service of the application's namespace.
func (env *testEnv) slicesOf(service string) []discoveryv1.EndpointSlice {
	env.Helper()
	list, err := env.client.DiscoveryV1().EndpointSlices(env.app).List(env.Context(), metav1.ListOptions{
		LabelSelector: discoveryv1.LabelServiceName + "=" + service + "," + names.ManagedByLabel + "=" + names.Manager,
	})
	require.NoError(env, err)
	return list.Items
}

// withoutFirstReplica are the companions' Services in which the first proxy is
// not ready.
func (env *testEnv) withoutFirstReplica() []string {
	env.Helper()
	var found []string
	for _, service := range []string{"api-migration", "web-migration"} {
		for _, slice := range env.slicesOf(service) {
			if ready := slice.Endpoints[0].Conditions.Ready; ready != nil && !*ready {
				found = append(found, service)
			}
		}
	}
	return found
}

// TestLabeledServiceOfAUser: a label alone makes no Service ours.
func TestLabeledServiceOfAUser(t *testing.T) {
	env := newTestEnv(t, 1)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	services := env.client.CoreV1().Services(env.app)
	theirs := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "theirs", Labels: map[string]string{names.ManagedByLabel: names.Manager}},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}},
	}
	_, err := services.Create(t.Context(), theirs, metav1.CreateOptions{})
	require.NoError(t, err)
	generated := theirs.DeepCopy()
	generated.Name = proxyOf("gone")
	_, err = services.Create(t.Context(), generated, metav1.CreateOptions{})
	require.NoError(t, err)
	env.startWatcher()
	env.eventually(func() bool {
		_, err := services.Get(t.Context(), generated.Name, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	}, "ours is removed, because no Ingress needs it")
	env.waitForQuiet()
	_, err = services.Get(t.Context(), "theirs", metav1.GetOptions{})
	require.NoError(t, err)
}

// TestVanishedReplica: a replica that takes no connections leaves the endpoints of our
// Services before Kubernetes notices, but never the last one.
func TestVanishedReplica(t *testing.T) {
	env := newTestEnv(t, 2)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	env.createIngress(env.newIngress("api"))
	env.startWatcher()
	env.waitForPhase("api", status.Migrating, proxyOf("api"))
	mirrored := func() (addresses []string) {
		for _, slice := range env.slicesOf(proxyOf("api")) {
			for _, endpoint := range slice.Endpoints {
				addresses = append(addresses, endpoint.Addresses...)
			}
		}
		slices.Sort(addresses)
		return addresses
	}
	first, second := env.proxies[0], env.proxies[1]
	waitFor := func(addresses ...string) {
		slices.Sort(addresses)
		env.eventually(func() bool { return slices.Equal(addresses, mirrored()) }, "endpoints %v", addresses)
	}
	cut := func(p *proxy, cut bool) { p.mu.Lock(); defer p.mu.Unlock(); p.cut = cut }
	waitFor(first.address, second.address)
	cut(first, true)
	waitFor(second.address)
	cut(second, true)
	waitFor(first.address, second.address) // the watcher itself is cut off
	cut(first, false)
	waitFor(first.address)
	cut(second, false)
	waitFor(first.address, second.address)
}

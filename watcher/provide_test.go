package watcher_test

import (
	"fmt"
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

// must is find, of a write that was made.
func (w *world) must(kind string, words ...string) write {
	w.Helper()
	found, ok := w.journal.find(kind, words...)
	require.True(w, ok, "%s with %v", kind, words)
	return found
}

// listed waits until the record lists a namespace, or does not.
func (w *world) listed(namespace string, is bool) {
	w.Helper()
	w.eventually(func() bool { return w.state().Provides(namespace) == is }, "namespace %s is listed: %v", namespace, is)
}

// TestProvided: a Service is there for a moment before an Ingress points at it
// and before admission may use it, and admission stops before it goes.
func TestProvided(t *testing.T) {
	w := newWorld(t, 1)
	w.notice = 500 * time.Millisecond
	w.write(w.services(map[string]int{"api": 20}))
	w.create(w.ingress("api"))
	w.watch()
	w.until("api", status.Migrating, names.ProxyService)
	w.listed(w.app, true)
	require.True(t, w.state().Provides(w.home), "the chart's Service is there")
	made, pointed := w.must("services", "POST"), w.must("ingresses", "PATCH")
	require.GreaterOrEqual(t, pointed.at.Sub(made.at), w.notice, "ingress controllers hear of it first")
	require.GreaterOrEqual(t, w.must("configmaps", `\"`+w.app+`\"`).at.Sub(made.at), w.notice, "and so does admission")
	require.True(t, w.must("endpointslices", "POST").answered.Before(made.at), "with endpoints")
	w.event(w.app, "api", "Rewritten")

	w.create(renamed(w.ingress("api"), "second"))
	created := time.Now()
	w.until("second", status.Migrating, names.ProxyService)
	t.Logf("a second Ingress took %s", time.Since(created))

	for _, name := range []string{"api", "second"} {
		w.annotate(name, ingressgen.AnnotationEnabled, "null")
	}
	w.listed(w.app, false)
	_, err := w.client.CoreV1().Services(w.app).Get(t.Context(), names.ProxyService, metav1.GetOptions{})
	require.NoError(t, err, "an answer of admission may be on its way")
	w.gone()
	writes := w.journal.of("configmaps")
	require.GreaterOrEqual(t, w.must("services", "DELETE").at.Sub(writes[len(writes)-1].answered), w.notice)

	w.annotate("api", ingressgen.AnnotationEnabled, `"true"`)
	w.until("api", status.Migrating, names.ProxyService)
	w.listed(w.app, true)
}

// TestRewrittenByAdmission: an Ingress that admission left, because it could
// not make the Service, is rewritten, and that is one Event.
func TestRewrittenByAdmission(t *testing.T) {
	w := newWorld(t, 1)
	w.write(w.services(map[string]int{"api": 20}))
	w.watch()
	w.listed(w.home, true)
	ingress := w.ingress("api")
	ingress.Annotations[ingressgen.AnnotationPhase] = string(status.Bypassed)
	ingress.Annotations[ingressgen.AnnotationReason] = ingressgen.ReasonWaitingForService
	w.create(ingress)
	w.until("api", status.Migrating, names.ProxyService)
	w.event(w.app, "api", "Rewritten")
	list, err := w.client.EventsV1().Events(w.app).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, list.Items, 1)
}

// TestListIsChecked: what the record says of a leader before is not believed.
func TestListIsChecked(t *testing.T) {
	w := newWorld(t, 1)
	text, err := status.Cluster{Namespaces: []string{w.app, "gone"}}.Text()
	require.NoError(t, err)
	w.put(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: names.StateMap}, Data: map[string]string{status.ClusterKey: text}})
	w.write(w.services(map[string]int{"api": 20}))
	w.watch()
	w.listed("gone", false)
	w.listed(w.app, false)
	w.create(w.ingress("api"))
	w.listed(w.app, true)
	w.pause(`"restore --all"`)
	w.listed(w.app, false)
	w.listed(w.home, false)
	w.pause(`null`)
	w.listed(w.home, true)
}

// canary is what a user writes for mode canary.
func (w *world) canary(name string) {
	w.Helper()
	ingress := w.ingress(name)
	ingress.Annotations[ingressgen.AnnotationMode] = "canary"
	w.create(ingress)
}

// TestCompanionsSplitEach: two companions of a namespace have two Services,
// since ingress-nginx keeps the split with the Service; also in our own.
func TestCompanionsSplitEach(t *testing.T) {
	for _, home := range []bool{false, true} {
		t.Run(fmt.Sprintf("home=%v", home), func(t *testing.T) {
			w := newWorld(t, 2)
			if home {
				w.app = w.home
			}
			w.write(w.services(map[string]int{"api": 20, "web": 60}))
			w.canary("api")
			w.canary("web")
			w.watch()
			for _, name := range []string{"api", "web"} {
				w.ownService(name)
			}
			_, err := w.client.CoreV1().Services(w.app).Get(t.Context(), names.ProxyService, metav1.GetOptions{})
			require.True(t, apierrors.IsNotFound(err), "nothing points at it")

			w.proxies[0].ready = false
			w.endpoints()
			w.eventually(func() bool { return len(w.notReady()) == 2 }, "both hear of the endpoint")
			require.NoError(t, w.client.CoreV1().Services(w.app).Delete(t.Context(), "api-migration", metav1.DeleteOptions{}))
			w.eventually(func() bool { return w.exists("api-migration") }, "it is repaired")

			require.NoError(t, w.client.NetworkingV1().Ingresses(w.app).Delete(t.Context(), "web", metav1.DeleteOptions{}))
			w.eventually(func() bool { return !w.exists("web-migration") }, "it goes with its Ingress")
			w.annotate("api", ingressgen.AnnotationMode, "null")
			w.eventually(func() bool { return !w.exists("api-migration") && len(w.mirrored("api-migration")) == 0 }, "it goes with its mode")
		})
	}
}

// ownService: the companion of an Ingress points at a Service of its own, which
// was there before it, with endpoints, and belongs to the Ingress.
func (w *world) ownService(name string) {
	w.Helper()
	companion := name + "-migration"
	w.eventually(func() bool {
		_, err := w.client.NetworkingV1().Ingresses(w.app).Get(w.Context(), companion, metav1.GetOptions{})
		return err == nil
	}, "companion %s", companion)
	require.Equal(w, companion, backendOf(w.get(companion)))
	service, err := w.client.CoreV1().Services(w.app).Get(w.Context(), companion, metav1.GetOptions{})
	require.NoError(w, err)
	require.Empty(w, service.Spec.Selector)
	require.Equal(w, w.get(name).UID, service.OwnerReferences[0].UID)
	slices := w.mirrored(companion)
	require.Len(w, slices, 1)
	require.Equal(w, service.OwnerReferences, slices[0].OwnerReferences)
	require.Len(w, slices[0].Endpoints, 2)
	settled := w.must("ingresses", "POST", companion).at.Sub(w.must("services", "POST", companion).at)
	require.GreaterOrEqual(w, settled, w.notice)
}

func (w *world) exists(service string) bool {
	w.Helper()
	_, err := w.client.CoreV1().Services(w.app).Get(w.Context(), service, metav1.GetOptions{})
	return err == nil
}

// TestForeignCompanionService is left alone, and the Ingress is not migrated.
func TestForeignCompanionService(t *testing.T) {
	w := newWorld(t, 1)
	w.write(w.services(map[string]int{"api": 20}))
	foreign := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "api-migration"}, Spec: corev1.ServiceSpec{
		Ports: []corev1.ServicePort{{Port: 80}}, Selector: map[string]string{"app": "mine"},
	}}
	created, err := w.client.CoreV1().Services(w.app).Create(t.Context(), foreign, metav1.CreateOptions{})
	require.NoError(t, err)
	w.canary("api")
	w.watch()
	require.Contains(t, w.event(w.app, "api", "NotRewritten").Note, "Service "+w.app+"/api-migration exists and is not the migration proxy's")
	w.until("api", status.Bypassed, "api")
	w.quiet()
	_, err = w.client.NetworkingV1().Ingresses(w.app).Get(t.Context(), "api-migration", metav1.GetOptions{})
	require.True(t, apierrors.IsNotFound(err))
	kept, err := w.client.CoreV1().Services(w.app).Get(t.Context(), "api-migration", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, created.ResourceVersion, kept.ResourceVersion)
	require.Empty(t, w.journal.of("endpointslices"), "somebody else's Service gets no endpoints of ours")
}

// mirrored are our slices of a Service of the application's namespace.
func (w *world) mirrored(service string) []discoveryv1.EndpointSlice {
	w.Helper()
	list, err := w.client.DiscoveryV1().EndpointSlices(w.app).List(w.Context(), metav1.ListOptions{
		LabelSelector: discoveryv1.LabelServiceName + "=" + service + "," + names.ManagedByLabel + "=" + names.Manager,
	})
	require.NoError(w, err)
	return list.Items
}

// notReady are the companions' Services of which the first proxy is not ready.
func (w *world) notReady() []string {
	w.Helper()
	var found []string
	for _, service := range []string{"api-migration", "web-migration"} {
		for _, slice := range w.mirrored(service) {
			if ready := slice.Endpoints[0].Conditions.Ready; ready != nil && !*ready {
				found = append(found, service)
			}
		}
	}
	return found
}

package watcher_test

import (
	"net/http"
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

// TestLife is the life of one Ingress: opted in, moved on, opted out. What the
// user wrote comes back, and nothing of ours stays.
func TestLife(t *testing.T) {
	w := newWorld(t, 2)
	w.write(w.services(map[string]int{"api": 20}))
	w.create(w.ingress("api"))
	before := w.get("api")
	w.watch()

	found := w.until("api", status.Migrating, names.ProxyService)
	require.Equal(t, "20", found.Annotations[ingressgen.AnnotationShare])
	require.Equal(t, "solver", found.Spec.Rules[0].HTTP.Paths[1].Backend.Service.Name)
	require.NotEmpty(t, w.event(w.app, "api", "Rewritten").Note)
	w.event(w.home, names.ConfigMap, "ConfigAccepted")
	require.Equal(t, []string{"services", "endpointslices"}, w.before("ingresses", "services", "endpointslices"),
		"what the Ingress points at comes first")
	service, err := w.client.CoreV1().Services(w.app).Get(t.Context(), names.ProxyService, metav1.GetOptions{})
	require.NoError(t, err)
	require.Empty(t, service.Spec.Selector)
	slice, err := w.client.DiscoveryV1().EndpointSlices(w.app).Get(t.Context(), "migration-proxy-abcde", metav1.GetOptions{})
	require.NoError(t, err)
	require.Len(t, slice.Endpoints, 2)

	w.write(w.services(map[string]int{"api": 50}))
	w.eventually(func() bool { return w.get("api").Annotations[ingressgen.AnnotationShare] == "50" }, "the new share")

	w.annotate("api", ingressgen.AnnotationEnabled, "null")
	found = w.until("api", "", "api")
	require.Equal(t, before.Spec, found.Spec)
	require.Equal(t, map[string]string{"mine": "kept"}, found.Annotations)
	w.event(w.app, "api", "Restored")
	w.gone()
}

// before gives those of the kinds that were written before the first write of
// another kind.
func (w *world) before(kind string, kinds ...string) []string {
	w.Helper()
	first := w.journal.of(kind)
	require.NotEmpty(w, first)
	var found []string
	for _, one := range kinds {
		if writes := w.journal.of(one); len(writes) > 0 && writes[0].at.Before(first[0].at) {
			found = append(found, one)
		}
	}
	return found
}

// gone waits until nothing of ours is left in the application's namespace.
func (w *world) gone() {
	w.Helper()
	w.eventually(func() bool {
		_, err := w.client.CoreV1().Services(w.app).Get(w.Context(), names.ProxyService, metav1.GetOptions{})
		slices, listErr := w.client.DiscoveryV1().EndpointSlices(w.app).List(w.Context(), metav1.ListOptions{})
		require.NoError(w, listErr)
		return apierrors.IsNotFound(err) && len(slices.Items) == 0
	}, "the Service and its slices go")
}

// TestDeletedIngress: what it needed goes, too.
func TestDeletedIngress(t *testing.T) {
	w := newWorld(t, 1)
	w.write(w.services(map[string]int{"api": 20}))
	w.create(w.ingress("api"))
	w.watch()
	w.until("api", status.Migrating, names.ProxyService)
	require.NoError(t, w.client.NetworkingV1().Ingresses(w.app).Delete(t.Context(), "api", metav1.DeleteOptions{}))
	w.gone()
}

// TestCalm: when nothing changes nothing is written, and a burst of edits is
// few writes.
func TestCalm(t *testing.T) {
	w := newWorld(t, 2)
	w.write(w.services(map[string]int{"api": 20}))
	w.create(w.ingress("api"))
	w.watch()
	w.until("api", status.Migrating, names.ProxyService)
	w.event(w.app, "api", "Rewritten")
	settled := w.quiet()

	time.Sleep(2500 * time.Millisecond) // two rounds of asking, at least
	require.Equal(t, settled, w.journal.of(""))

	for share := range 50 {
		w.write(w.services(map[string]int{"api": 21 + share}))
	}
	w.eventually(func() bool { return w.get("api").Annotations[ingressgen.AnnotationShare] == "70" }, "the last share")
	require.Less(t, len(w.journal.of("ingresses")), 10, "50 edits")
}

// quiet waits until no write has come for a while, and gives all writes.
func (w *world) quiet() []write {
	w.Helper()
	var last []write
	w.eventually(func() bool {
		last = w.journal.of("")
		return len(last) > 0 && time.Since(last[len(last)-1].at) > time.Second
	}, "the writes end")
	return last
}

// TestFallback is the third net: the record first, then the Ingress, an Event
// with the evidence; and all the way back.
func TestFallback(t *testing.T) {
	w := newWorld(t, 3)
	w.write(w.services(map[string]int{"api": 20}))
	w.create(w.ingress("api"))
	w.watch()
	w.until("api", status.Migrating, names.ProxyService)

	w.phase(1, status.FallenBack, "5 failures in 60s")
	time.Sleep(1500 * time.Millisecond) // a round of asking, at least
	w.until("api", status.Migrating, names.ProxyService)

	w.phase(2, status.FallenBack, "5 failures in 60s")
	tripped := time.Now()
	found := w.until("api", status.FallenBack, "api")
	t.Logf("reverted %s after the second replica fell back", time.Since(tripped))
	const evidence = "2 of 3 ready replicas fell back: proxy-10.1.0.1: 5 failures in 60s; proxy-10.1.0.2: 5 failures in 60s"
	require.Contains(t, found.Annotations[ingressgen.AnnotationReason], evidence)
	require.Contains(t, w.event(w.app, "api", "FellBack").Note, evidence)
	require.Equal(t, status.FallenBack, w.state().Services["api"].Phase)
	w.recordedFirst(`FallenBack`)

	w.phase(1, status.Recovering, "")
	time.Sleep(1500 * time.Millisecond)
	w.until("api", status.FallenBack, "api")
	w.phase(2, status.Recovering, "")
	w.until("api", status.Migrating, names.ProxyService)
	w.event(w.app, "api", "Recovered")
}

// recordedFirst: the word was in the ConfigMap before it was sent to any
// Ingress.
func (w *world) recordedFirst(word string) {
	w.Helper()
	first := func(kind string) write {
		for _, one := range w.journal.of(kind) {
			if strings.Contains(one.body, word) {
				return one
			}
		}
		require.Fail(w, "not written", "%s to %s", word, kind)
		return write{}
	}
	require.True(w, first("configmaps").answered.Before(first("ingresses").at), "the record comes first")
}

// TestBypass: no replica is ready, for longer than a blip.
func TestBypass(t *testing.T) {
	w := newWorld(t, 2)
	w.write(w.services(map[string]int{"api": 20}))
	w.create(w.ingress("api"))
	w.watch()
	w.until("api", status.Migrating, names.ProxyService)
	w.setReady(false)
	since := time.Now()
	w.until("api", status.Bypassed, "api")
	require.Greater(t, time.Since(since), 1500*time.Millisecond, "a blip is none")
	w.event(w.app, "api", "Bypassed")
	w.setReady(true)
	since = time.Now()
	w.until("api", status.Migrating, names.ProxyService)
	t.Logf("back %s after the replicas", time.Since(since))
}

func (w *world) setReady(ready bool) {
	w.Helper()
	for _, p := range w.proxies {
		p.ready = ready
	}
	w.endpoints()
}

// TestNobodyCanBeAsked: the replicas are well, and something blocks the way to
// their status. The reason says which.
func TestNobodyCanBeAsked(t *testing.T) {
	w := newWorld(t, 2)
	w.write(w.services(map[string]int{"api": 20}))
	w.create(w.ingress("api"))
	w.down(true)
	w.watch()
	reason := w.until("api", status.Bypassed, "api").Annotations[ingressgen.AnnotationReason]
	require.Contains(t, reason, "2 ready replicas of the migration proxy cannot be asked: ask proxy-10.1.0.1: it answers 500")
	w.down(false)
	w.until("api", status.Migrating, names.ProxyService)
}

func (w *world) down(down bool) {
	for _, p := range w.proxies {
		p.mu.Lock()
		p.down = down
		p.mu.Unlock()
	}
}

// TestPause is the command restore --all: nothing of ours stays in an Ingress,
// what others delete is not made again, and resuming brings all of it back.
func TestPause(t *testing.T) {
	w := newWorld(t, 1)
	w.write(w.services(map[string]int{"api": 20}))
	w.create(w.ingress("api"))
	w.watch()
	w.until("api", status.Migrating, names.ProxyService)
	w.pause(`"restore --all"`)
	found := w.until("api", "", "api")
	require.Equal(t, map[string]string{ingressgen.AnnotationEnabled: "true", "mine": "kept"}, found.Annotations)
	w.gone()
	require.Equal(t, "restore --all", w.state().Paused, "the watcher leaves the key alone")
	w.pause(`null`)
	w.until("api", status.Migrating, names.ProxyService)
}

func (w *world) pause(value string) {
	w.Helper()
	w.merge(names.StateMap, `{"data":{"paused":`+value+`}}`)
}

// TestInvalidConfig: the last good one stays in force, also for a watcher that
// has never seen it.
func TestInvalidConfig(t *testing.T) {
	w := newWorld(t, 1)
	w.write(w.services(map[string]int{"api": 20}))
	w.create(w.ingress("api"))
	stop := w.watch()
	w.until("api", status.Migrating, names.ProxyService)
	w.write("services: [{name: api, percent: 5}]")
	require.Contains(t, w.event(w.home, names.ConfigMap, "ConfigRejected").Note, "migration-config:1:24")
	stop()
	w.create(w.ingress("web"))
	w.create(renamed(w.ingress("api"), "second"))
	w.watch()
	w.until("second", status.Migrating, names.ProxyService)
	require.Equal(t, "web", backendOf(w.get("web")))
}

// TestForeignService is left alone, and so is the Ingress.
func TestForeignService(t *testing.T) {
	w := newWorld(t, 1)
	w.write(w.services(map[string]int{"api": 20}))
	foreign := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: names.ProxyService}, Spec: corev1.ServiceSpec{
		Ports: []corev1.ServicePort{{Port: 80}}, Selector: map[string]string{"app": "mine"},
	}}
	created, err := w.client.CoreV1().Services(w.app).Create(t.Context(), foreign, metav1.CreateOptions{})
	require.NoError(t, err)
	w.create(w.ingress("api"))
	w.watch()
	require.Contains(t, w.event(w.app, "api", "NotRewritten").Note, "is not the migration proxy's")
	found := w.until("api", status.Bypassed, "api")
	require.Contains(t, found.Annotations[ingressgen.AnnotationReason], "is not the migration proxy's", "also when the Event is gone")
	kept, err := w.client.CoreV1().Services(w.app).Get(t.Context(), names.ProxyService, metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, created.ResourceVersion, kept.ResourceVersion)
	require.NoError(t, w.client.CoreV1().Services(w.app).Delete(t.Context(), names.ProxyService, metav1.DeleteOptions{}))
	w.until("api", status.Migrating, names.ProxyService)
}

// TestOpenedService: whoever may write Services in a namespace cannot open the
// one with the way to all others' applications to the world.
func TestOpenedService(t *testing.T) {
	for name, patch := range map[string]string{
		"type":         `{"spec":{"type":"LoadBalancer"}}`,
		"external IPs": `{"spec":{"externalIPs":["192.0.2.1"]}}`,
		"another name": `{"spec":{"type":"ExternalName","externalName":"example.com"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1)
			w.write(w.services(map[string]int{"api": 20}))
			w.create(w.ingress("api"))
			w.watch()
			w.until("api", status.Migrating, names.ProxyService)
			services := w.client.CoreV1().Services(w.app)
			opened, err := services.Patch(t.Context(), names.ProxyService, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
			require.NoError(t, err)
			w.eventually(func() bool {
				found, err := services.Get(t.Context(), names.ProxyService, metav1.GetOptions{})
				return err == nil && found.ResourceVersion != opened.ResourceVersion &&
					found.Spec.Type == corev1.ServiceTypeClusterIP && len(found.Spec.ExternalIPs) == 0
			}, "the Service is closed again")
		})
	}
}

// TestNamedPort: an Ingress is there before its Service, as in a folder of
// manifests, and nobody touches either again.
func TestNamedPort(t *testing.T) {
	w := newWorld(t, 1)
	w.write(w.services(map[string]int{"api": 20}))
	ingress := w.ingress("api")
	ingress.Spec.Rules[0].HTTP.Paths[0].Backend.Service.Port = networkingv1.ServiceBackendPort{Name: "web"}
	w.create(ingress)
	w.watch()
	require.Contains(t, w.until("api", status.Bypassed, "api").Annotations[ingressgen.AnnotationReason], "no port web that is known")
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "api"}, Spec: corev1.ServiceSpec{
		Ports: []corev1.ServicePort{{Name: "web", Port: 80}},
	}}
	_, err := w.client.CoreV1().Services(w.app).Create(t.Context(), service, metav1.CreateOptions{})
	require.NoError(t, err)
	w.until("api", status.Migrating, names.ProxyService)
}

// TestRepair: what others break of ours is mended.
func TestRepair(t *testing.T) {
	w := newWorld(t, 1)
	w.write(w.services(map[string]int{"api": 20}))
	w.create(w.ingress("api"))
	w.watch()
	w.until("api", status.Migrating, names.ProxyService)
	require.NoError(t, w.client.CoreV1().Services(w.app).Delete(t.Context(), names.ProxyService, metav1.DeleteOptions{}))
	w.eventually(func() bool {
		_, err := w.client.CoreV1().Services(w.app).Get(t.Context(), names.ProxyService, metav1.GetOptions{})
		return err == nil
	}, "the Service is back")
	// A manifest without our annotations, while admission is away.
	manifest := w.ingress("api")
	manifest.ResourceVersion = w.get("api").ResourceVersion
	_, err := w.client.NetworkingV1().Ingresses(w.app).Update(t.Context(), manifest, metav1.UpdateOptions{})
	require.NoError(t, err)
	w.until("api", status.Migrating, names.ProxyService)
}

// TestCanary: the companion comes and goes.
func TestCanary(t *testing.T) {
	w := newWorld(t, 1)
	w.write(w.services(map[string]int{"api": 20}))
	ingress := w.ingress("api")
	ingress.Annotations[ingressgen.AnnotationMode] = "canary"
	w.create(ingress)
	w.watch()
	w.until("api", status.Migrating, "api")
	require.Equal(t, "20", w.companion(weight))
	w.write(w.services(map[string]int{"api": 35}))
	w.eventually(func() bool { return w.companion(weight) == "35" }, "the new weight")
	w.quiet()
	writes := len(w.journal.of(""))
	time.Sleep(1500 * time.Millisecond)
	require.Len(t, w.journal.of(""), writes, "the companion is as wanted")
	w.annotate("api", ingressgen.AnnotationEnabled, `"false"`)
	w.eventually(func() bool { return w.companion(weight) == "none" }, "no companion")
	w.gone()
}

// TestLeavesNothing: a watcher that has lost the lead runs on nowhere.
func TestLeavesNothing(t *testing.T) {
	w := newWorld(t, 1)
	w.write(w.services(map[string]int{"api": 20}))
	w.create(w.ingress("api"))
	before := goleak.IgnoreCurrent()
	stop := w.watch()
	w.until("api", status.Migrating, names.ProxyService)
	stop()
	w.proxies[0].server.CloseClientConnections()
	http.DefaultClient.CloseIdleConnections()
	goleak.VerifyNone(t, before, goleak.IgnoreAnyFunction("net/http.(*http2ClientConn).readLoop"),
		goleak.IgnoreAnyFunction("golang.org/x/net/http2.(*clientConnReadLoop).run"))
}

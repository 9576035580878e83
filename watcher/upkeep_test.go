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
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

// companion gives an annotation of the companion of Ingress api; "none" without
// a companion.
func (w *world) companion(annotation string) string {
	w.Helper()
	found, err := w.client.NetworkingV1().Ingresses(w.app).Get(w.Context(), "api-migration", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "none"
	}
	require.NoError(w, err)
	return found.Annotations[annotation]
}

const (
	weight   = "nginx.ingress.kubernetes.io/canary-weight"
	byHeader = "nginx.ingress.kubernetes.io/canary-by-header"
)

// TestOthersWriteToo: what a cluster's tools write on our objects stays, or they
// would write it again for ever; what is stale of ours goes.
func TestOthersWriteToo(t *testing.T) {
	w := newWorld(t, 2)
	w.write(w.services(map[string]int{"api": 20}))
	w.canary("api")
	w.watch()
	w.eventually(func() bool { return w.companion(weight) == "20" }, "the companion")
	w.quiet()
	patch := []byte(`{"metadata":{"labels":{"theirs":"yes"},"annotations":{"theirs":"yes","` + byHeader + `":"X-Stale"}}}`)
	_, err := w.client.NetworkingV1().Ingresses(w.app).Patch(t.Context(), "api-migration", types.MergePatchType, patch, metav1.PatchOptions{})
	require.NoError(t, err)
	_, err = w.client.CoreV1().Services(w.app).Patch(t.Context(), "api-migration", types.MergePatchType, patch, metav1.PatchOptions{})
	require.NoError(t, err)
	name := w.mirrored("api-migration")[0].Name
	_, err = w.client.DiscoveryV1().EndpointSlices(w.app).Patch(t.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{})
	require.NoError(t, err)

	w.eventually(func() bool { return w.companion(byHeader) == "" }, "what is stale goes")
	w.quiet()
	require.Len(t, w.journal.of("services"), 1, "it was made, and that is all")
	require.Len(t, w.journal.of("endpointslices"), 1)
	w.proxies[0].ready = false
	w.endpoints()
	w.eventually(func() bool { return !*w.mirrored("api-migration")[0].Endpoints[0].Conditions.Ready }, "the endpoint")
	w.write(w.services(map[string]int{"api": 35}))
	w.eventually(func() bool { return w.companion(weight) == "35" }, "the weight")
	require.Equal(t, "yes", w.companion("theirs"))
	require.Equal(t, "yes", w.get("api-migration").Labels["theirs"])
	require.Equal(t, "yes", w.mirrored("api-migration")[0].Labels["theirs"])
	service, err := w.client.CoreV1().Services(w.app).Get(t.Context(), "api-migration", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, "yes", service.Labels["theirs"])
}

// TestBackWithoutServices: what somebody refuses of our Services and slices
// keeps nobody on a new cluster that fails.
func TestBackWithoutServices(t *testing.T) {
	w := newWorld(t, 2)
	w.write(w.services(map[string]int{"api": 20}))
	w.canary("api")
	options := w.options()
	var refused atomic.Bool
	between(options, func(request *http.Request, next http.RoundTripper) (*http.Response, error) {
		kind := write{path: request.URL.Path}.kind()
		if refused.Load() && request.Method != http.MethodGet && (kind == "services" || kind == "endpointslices") {
			request.Header.Set("Impersonate-User", "nobody") // who may not
		}
		return next.RoundTrip(request)
	})
	w.start(options)
	w.eventually(func() bool { return w.companion(weight) == "20" }, "the companion")
	w.quiet()
	refused.Store(true)
	w.proxies[0].ready = false
	w.endpoints()
	w.eventually(func() bool {
		writes := w.journal.of("endpointslices")
		return writes[len(writes)-1].status == http.StatusForbidden
	}, "the slice is refused")
	w.phase(2, status.FallenBack, "5 failures in 60s")
	w.eventually(func() bool { return w.companion(weight) == "0" }, "nobody is sent to new")
}

// TestResumed: a Service that others removed while all was paused is new again
// to the ingress controllers.
func TestResumed(t *testing.T) {
	w := newWorld(t, 1)
	w.notice, w.linger = 500*time.Millisecond, time.Minute
	w.write(w.services(map[string]int{"api": 20}))
	w.create(w.ingress("api"))
	w.watch()
	w.until("api", status.Migrating, names.ProxyService)
	w.pause(`"restore --all"`)
	w.until("api", "", "api")
	require.NoError(t, w.client.CoreV1().Services(w.app).Delete(t.Context(), names.ProxyService, metav1.DeleteOptions{}))
	w.gone()
	w.pause(`null`)
	w.until("api", status.Migrating, names.ProxyService)
	made, pointed := w.journal.of("services"), w.journal.of("ingresses")
	require.GreaterOrEqual(t, pointed[len(pointed)-1].at.Sub(made[len(made)-1].at), w.notice)
}

// TestOwnDeletionIsKnown before the watch says so: an Ingress that opts in again
// at that moment is not pointed at a Service that is gone.
func TestOwnDeletionIsKnown(t *testing.T) {
	w := newWorld(t, 1)
	w.write(w.services(map[string]int{"api": 20}))
	w.create(w.ingress("api"))
	options, slow := w.options(), newGate()
	between(options, slow.watch("services"))
	w.start(options)
	w.until("api", status.Migrating, names.ProxyService)
	slow.shut()
	w.annotate("api", ingressgen.AnnotationEnabled, "null")
	w.eventually(func() bool { _, found := w.journal.find("services", "DELETE"); return found }, "the Service is deleted")
	w.annotate("api", ingressgen.AnnotationEnabled, `"true"`)
	w.until("api", status.Migrating, names.ProxyService)
	require.True(t, w.exists(names.ProxyService))
	slow.release()
	w.quiet()
	require.True(t, w.exists(names.ProxyService))
	require.Len(t, w.mirrored(names.ProxyService), 1)
}

// TestLateAnswer: somebody has deleted the Service, and the watch has said so,
// before the API server's answer to its creation arrives.
func TestLateAnswer(t *testing.T) {
	w := newWorld(t, 1)
	w.write(w.services(map[string]int{"api": 20}))
	w.create(w.ingress("api"))
	options, watched := w.options(), newGate()
	var once sync.Once
	between(options, func(request *http.Request, next http.RoundTripper) (*http.Response, error) {
		answer, err := watched.watch("services")(request, next)
		if request.Method == http.MethodPost && strings.HasSuffix(request.URL.Path, "/services") {
			once.Do(func() {
				require.NoError(t, w.client.CoreV1().Services(w.app).Delete(t.Context(), names.ProxyService, metav1.DeleteOptions{}))
				select {
				case <-watched.deleted:
				case <-request.Context().Done():
				}
			})
		}
		return answer, err
	})
	w.start(options)
	w.until("api", status.Migrating, names.ProxyService)
	require.True(t, w.exists(names.ProxyService), "what the Ingress points at")
}

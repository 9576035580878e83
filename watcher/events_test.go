package watcher_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/watcher"
)

// TestEventsStandInNobodysWay: a new leader has an Event to write for each
// Ingress with a warning, and mirrors endpoints meanwhile.
func TestEventsStandInNobodysWay(t *testing.T) {
	const warned = 2500
	w := newWorld(t, 2)
	w.write(w.services(map[string]int{"api": 20}))
	w.create(w.ingress("api"))
	unknown := w.ingress("unknown")
	w.create(unknown)
	stop := w.watch()
	w.until("api", status.Migrating, names.ProxyService)
	unknown.Annotations = w.until("unknown", status.Bypassed, "unknown").Annotations
	w.event(w.app, "unknown", "NotRewritten")
	stop()
	w.createAll(warned, func(i int) *networkingv1.Ingress { // as the watcher leaves them: no write is due
		return renamed(unknown.DeepCopy(), fmt.Sprintf("unknown-%d", i))
	})
	started, _ := w.start(w.options())
	w.eventually(func() bool { return w.gather(started)["migration_proxy_ingresses Bypassed"] > warned }, "all are looked at")
	w.proxies[0].ready = false
	began := time.Now()
	w.endpoints()
	w.eventually(func() bool { return !*w.mirrored(names.ProxyService)[0].Endpoints[0].Conditions.Ready }, "the endpoint")
	require.Less(t, time.Since(began), time.Second)
	t.Logf("mirrored after %s", time.Since(began))
}

// TestWarnings: what a user of the ConfigMap has to know, each once.
func TestWarnings(t *testing.T) {
	w := newWorld(t, 2)
	w.write(w.services(map[string]int{"api": 20}))
	w.serve(func(s *status.Status) {
		s.Config.Rejected = &status.Rejected{At: time.Unix(5, 0), Stage: "apply", Problems: []string{"nginx does not answer"}}
	})
	w.watch()
	require.Contains(t, w.event(w.home, names.ConfigMap, watcher.EventReplica).Note, `failed at stage "apply": nginx does not answer`)
	time.Sleep(1500 * time.Millisecond) // the next round must not tell it again
	list, err := w.client.EventsV1().Events(w.home).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	count := 0
	for _, event := range list.Items {
		if event.Reason == watcher.EventReplica {
			count++
			require.Nil(t, event.Series)
		}
	}
	require.Equal(t, 2, count, "one for each replica")
}

// TestWhatIsWarnedOf: an annotation that its user meant otherwise gets an
// answer, and an Ingress that is rewritten is not called anything else.
func TestWhatIsWarnedOf(t *testing.T) {
	w := newWorld(t, 1)
	w.write(w.services(map[string]int{"api": 20, "web": 20}))
	ingress := w.ingress("api")
	ingress.Annotations[ingressgen.AnnotationEnabled] = "yes"
	w.create(ingress)
	ingress = w.ingress("web")
	ingress.Annotations["nginx.ingress.kubernetes.io/load-balance"] = "ewma"
	w.create(ingress)
	w.watch()
	require.Contains(t, w.event(w.app, "api", watcher.EventNotRewritten).Note, `is "yes", which does nothing; write true`)
	w.until("web", status.Migrating, names.ProxyService)
	require.Contains(t, w.event(w.app, "web", watcher.EventWarnings).Note, "load-balance")
	require.Equal(t, map[string]string{ingressgen.AnnotationEnabled: "yes", "mine": "kept"}, w.get("api").Annotations)
}

// TestRefused: another's admission webhook, or a right that we lack, is told
// to the Ingress's user.
func TestRefused(t *testing.T) {
	w := newWorld(t, 1)
	w.write(w.services(map[string]int{"api": 20}))
	w.create(w.ingress("api"))
	options := w.options()
	between(options, func(request *http.Request, next http.RoundTripper) (*http.Response, error) {
		if request.Method == http.MethodPatch && strings.Contains(request.URL.Path, "/ingresses/") {
			request.Header.Set("Impersonate-User", "nobody") // who may not
		}
		return next.RoundTrip(request)
	})
	_, stop := w.start(options)
	require.Contains(t, w.event(w.app, "api", watcher.EventRefused).Note, "cannot patch resource")
	stop()
	w.watch()
	w.until("api", status.Migrating, names.ProxyService)
}

// TestLastWords: an Event that is on its way when the lead is lost arrives.
func TestLastWords(t *testing.T) {
	w := newWorld(t, 1)
	w.write(w.services(map[string]int{"api": 20}))
	w.create(w.ingress("api"))
	options, onTheWay := w.options(), make(chan struct{}, 100)
	between(options, func(request *http.Request, next http.RoundTripper) (*http.Response, error) {
		if strings.HasSuffix(request.URL.Path, w.app+"/events") {
			onTheWay <- struct{}{}
			select {
			case <-time.After(300 * time.Millisecond): // a slow API server
			case <-request.Context().Done():
				return nil, request.Context().Err()
			}
		}
		return next.RoundTrip(request)
	})
	_, stop := w.start(options)
	<-onTheWay
	stop()
	list, err := w.client.EventsV1().Events(w.app).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, list.Items, 1)
	require.Equal(t, "Rewritten", list.Items[0].Reason)
}

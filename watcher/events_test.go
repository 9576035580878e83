package watcher_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/watcher/events"
)

// TestEventsDelayNoWrite: a new leader has an Event to write for each Ingress
// with a warning, and copies endpoints meanwhile.
func TestEventsDelayNoWrite(t *testing.T) {
	const warned = 2500
	env := newTestEnv(t, 2)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	env.createIngress(env.newIngress("api"))
	unknown := env.newIngress("unknown")
	env.createIngress(unknown)
	stop := env.startWatcher()
	env.waitForPhase("api", status.Migrating, proxyOf("api"))
	unknown.Annotations = env.waitForPhase("unknown", status.Bypassed, "unknown").Annotations
	env.waitForEvent(env.app, "unknown", "NotRewritten")
	stop()
	env.createAll(warned, func(i int) *networkingv1.Ingress { // as the watcher leaves them: no write is due
		return renamed(unknown.DeepCopy(), fmt.Sprintf("unknown-%d", i))
	})
	started, _ := env.startWith(env.options())
	env.eventually(func() bool { return env.gather(started)["migration_proxy_ingresses Bypassed"] > warned }, "all are looked at")
	env.proxies[0].ready = false
	env.writeEndpoints()
	env.eventually(func() bool { return !*env.slicesOf(proxyOf("api"))[0].Endpoints[0].Conditions.Ready }, "the endpoint")
	written := len(env.events(env.app))
	t.Logf("copied when %d of %d Events were written", written, warned)
	require.Less(t, written, warned, "the copy did not wait for the Events")
}

// TestReplicaRejectsConfig: each replica that rejects a config has one Event.
func TestReplicaRejectsConfig(t *testing.T) {
	env := newTestEnv(t, 2)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	env.setStatus(func(s *status.Status) {
		s.Config.Rejected = &status.Rejected{At: time.Unix(5, 0), Stage: "apply", Problems: []string{"nginx does not answer"}}
	})
	env.startWatcher()
	require.Contains(t, env.waitForEvent(env.home, names.ConfigMap, events.ReplicaRejectsConfig).Note, `failed at stage "apply": nginx does not answer`)
	env.waitForPolls() // the next poll must not write it again
	found := env.events(env.home)
	count := 0
	for _, event := range found {
		if event.Reason == events.ReplicaRejectsConfig {
			count++
			require.Nil(t, event.Series)
		}
	}
	require.Equal(t, 2, count, "one for each replica")
}

// TestShareDeviates: a service whose traffic has not the share that is wanted has one
// Event, of what all replicas counted together.
func TestShareDeviates(t *testing.T) {
	env := newTestEnv(t, 2)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 25, "web": 25}))
	env.setStatus(func(s *status.Status) {
		for i := range s.Services {
			s.Services[i].Strategy = "weight"
			s.Services[i].Split = status.Split{Since: time.Unix(int64(i), 0), Share: 25, Requests: 60}
			if s.Services[i].Name == "web" {
				s.Services[i].Split.New = 15
			}
		}
	})
	env.startWatcher()
	require.Contains(t, env.waitForEvent(env.home, names.ConfigMap, events.ShareDeviates).Note, "service api: observed 0.0 % of 120 requests, 25 % wanted")
	env.waitForPolls() // the next poll must not write it again
	found := env.events(env.home)
	count := 0
	for _, event := range found {
		if event.Reason == events.ShareDeviates {
			count++
			require.Nil(t, event.Series)
		}
	}
	require.Equal(t, 1, count)
}

// TestWarnings: an annotation with a wrong value has an Event, and so has an
// annotation that does not work as before on an Ingress that is rewritten.
func TestWarnings(t *testing.T) {
	env := newTestEnv(t, 1)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20, "web": 20}))
	ingress := env.newIngress("api")
	ingress.Annotations[ingressgen.AnnotationEnabled] = "yes"
	env.createIngress(ingress)
	ingress = env.newIngress("web")
	ingress.Annotations["nginx.ingress.kubernetes.io/load-balance"] = "ewma"
	env.createIngress(ingress)
	env.startWatcher()
	require.Contains(t, env.waitForEvent(env.app, "api", events.NotRewritten).Note, `is "yes", which does nothing; write true`)
	env.waitForPhase("web", status.Migrating, proxyOf("web"))
	require.Contains(t, env.waitForEvent(env.app, "web", events.RewrittenWithWarnings).Note, "load-balance")
	require.Equal(t, map[string]string{ingressgen.AnnotationEnabled: "yes", "mine": "kept"}, env.getIngress("api").Annotations)
}

// TestWriteRefused: a write that the API server refuses has an Event on the
// Ingress.
func TestWriteRefused(t *testing.T) {
	env := newTestEnv(t, 1)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	env.createIngress(env.newIngress("api"))
	options := env.options()
	intercept(options, func(request *http.Request, next http.RoundTripper) (*http.Response, error) {
		if request.Method == http.MethodPatch && strings.Contains(request.URL.Path, "/ingresses/") {
			request.Header.Set("Impersonate-User", "nobody") // a user without rights
		}
		return next.RoundTrip(request)
	})
	_, stop := env.startWith(options)
	require.Contains(t, env.waitForEvent(env.app, "api", events.WriteRefused).Note, "cannot patch resource")
	stop()
	env.startWatcher()
	env.waitForPhase("api", status.Migrating, proxyOf("api"))
}

// TestSurprisingConfig: an immutable config has an Event that says what follows.
func TestSurprisingConfig(t *testing.T) {
	env := newTestEnv(t, 1)
	configMap := env.configMap(env.servicesConfig(map[string]int{"api": 20}))
	configMap.Immutable = new(true)
	env.putConfigMap(configMap)
	env.startWatcher()
	require.Contains(t, env.waitForEvent(env.home, names.ConfigMap, events.RewrittenWithWarnings).Note, "Kubernetes refuses every later edit")
}

// TestLastEvents: an Event that is on its way when the watcher ends is written.
func TestLastEvents(t *testing.T) {
	env := newTestEnv(t, 1)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	env.createIngress(env.newIngress("api"))
	options, onTheWay := env.options(), make(chan struct{}, 100)
	ended := make(chan struct{}) // the watcher has closed its watch of Ingresses
	var closing sync.Once
	intercept(options, func(request *http.Request, next http.RoundTripper) (*http.Response, error) {
		if strings.HasSuffix(request.URL.Path, env.app+"/events") {
			onTheWay <- struct{}{}
			select {
			case <-ended:
			case <-request.Context().Done():
				return nil, request.Context().Err()
			}
		}
		if request.URL.Query().Get("watch") == "true" && strings.HasSuffix(request.URL.Path, "/ingresses") {
			context.AfterFunc(request.Context(), func() { closing.Do(func() { close(ended) }) })
		}
		return next.RoundTrip(request)
	})
	_, stop := env.startWith(options)
	<-onTheWay
	stop()
	events := env.events(env.app)
	require.Len(t, events, 1)
	require.Equal(t, "Rewritten", events[0].Reason)
}

// waitForEvent waits for an Event on an object.
func (env *testEnv) waitForEvent(namespace, name, reason string) *eventsv1.Event {
	env.Helper()
	var found *eventsv1.Event
	env.eventually(func() bool {
		for _, event := range env.events(namespace) {
			if event.Regarding.Name == name && event.Reason == reason {
				found = &event
			}
		}
		return found != nil
	}, "Event %s on %s/%s", reason, namespace, name)
	return found
}

// events lists the watcher's Events of a namespace. The API server writes Events of its
// own about the watcher's Services (ClusterIPNotAllocated).
func (env *testEnv) events(namespace string) []eventsv1.Event {
	env.Helper()
	list, err := env.client.EventsV1().Events(namespace).List(env.Context(), metav1.ListOptions{})
	require.NoError(env, err)
	return slices.DeleteFunc(list.Items, func(event eventsv1.Event) bool {
		return event.ReportingController != names.Manager
	})
}

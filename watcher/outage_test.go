package watcher_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/watcher"
)

// TestOutage: the API server is away while the new cluster fails.
func TestOutage(t *testing.T) {
	env := newTestEnv(t, 2)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	env.createIngress(env.newIngress("api"))
	options := env.options()
	var refused atomic.Int64 // writes of migration-state that got no answer
	intercept(options, func(request *http.Request, next http.RoundTripper) (*http.Response, error) {
		answer, err := next.RoundTrip(request)
		if err != nil && request.Method == http.MethodPatch && strings.HasSuffix(request.URL.Path, "/configmaps/"+names.StateMap) {
			refused.Add(1)
		}
		return answer, err
	})
	env.startWith(options)
	env.waitForPhase("api", status.Migrating, proxyOf("api"))
	require.NoError(t, plane.StopAPIServer())
	env.reportPhase(2, status.FallenBack, "5 failures in 60s")
	env.eventually(func() bool { return refused.Load() >= 3 }, "several attempts fail")
	require.NoError(t, plane.StartAPIServer(t.Context()))
	back := time.Now()
	env.waitForPhase("api", status.FallenBack, "api")
	t.Logf("caught up %s after the API server was back", time.Since(back))
	env.reportPhase(2, status.Migrating, "")
	env.waitForPhase("api", status.Migrating, proxyOf("api"))
}

// candidate is one of two watchers that want to lead.
type candidate struct {
	writesLeft atomic.Int64 // patches of Ingresses until its network is interrupted; 0 or less: never
	cut        atomic.Bool  // it is
	elected    <-chan struct{}
	stop       context.CancelFunc
}

func (env *testEnv) candidate() *candidate {
	env.Helper()
	c := &candidate{}
	config := fast(plane.Config())
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) {
			toIngress := request.Method == http.MethodPatch && strings.Contains(request.URL.Path, "/ingresses/")
			if toIngress && c.writesLeft.Add(-1) == 0 {
				c.cut.Store(true)
			}
			if c.cut.Load() {
				return nil, errors.New("no network")
			}
			return next.RoundTrip(request)
		})
	})
	c.lead(env, config)
	return c
}

func (c *candidate) lead(env *testEnv, config *rest.Config) {
	env.Helper()
	options := env.options()
	options.Config = config
	watching, err := watcher.New(options)
	require.NoError(env, err)
	lease, renew, retry := 4*time.Second, 3*time.Second, 200*time.Millisecond
	managed, err := manager.New(config, manager.Options{
		LeaderElection: true, LeaderElectionID: names.Lease, LeaderElectionNamespace: env.home,
		LeaderElectionReleaseOnCancel: true, Metrics: metricsserver.Options{BindAddress: "0"},
		LeaseDuration: &lease, RenewDeadline: &renew, RetryPeriod: &retry,
	})
	require.NoError(env, err)
	require.NoError(env, managed.Add(watching))
	c.elected = managed.Elected()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = managed.Start(ctx) // a lost lease is an error, and meant here
	}()
	c.stop = func() { stop(); <-ended }
	env.Cleanup(c.stop)
}

// TestLeaderDies: the leader's network is interrupted in the middle of a change
// of many Ingresses. The other candidate finishes it from what the cluster has.
func TestLeaderDies(t *testing.T) {
	const ingresses = 200
	env := newTestEnv(t, 2)
	shares := map[string]int{}
	for i := range ingresses {
		shares[fmt.Sprintf("api-%d", i)] = 20
	}
	env.writeConfig(env.servicesConfig(shares))
	for name := range shares {
		env.createIngress(env.newIngress(name))
	}
	first := env.candidate()
	<-first.elected
	env.eventually(func() bool { return env.countPhase(status.Migrating, "") == ingresses }, "all are rewritten")
	second := env.candidate()

	for name := range shares {
		shares[name] = 60
	}
	first.writesLeft.Store(ingresses / 10)
	env.writeConfig(env.servicesConfig(shares))
	env.reportPhase(2, status.FallenBack, "5 failures in 60s")
	env.eventually(first.cut.Load, "some have fallen back")
	done, cut := env.countPhase(status.FallenBack, ""), time.Now()
	require.Less(t, done, ingresses, "it was in the middle")
	env.eventually(func() bool { return env.countPhase(status.FallenBack, "") == ingresses }, "all have fallen back")
	t.Logf("cut after %d of %d; the other one finished %s later", done, ingresses, time.Since(cut))
	select {
	case <-second.elected:
	default:
		require.Fail(t, "the other one leads")
	}
	for name := range shares {
		require.Equal(t, name, backendOf(env.getIngress(name)))
	}
	first.stop()
	second.stop()
}

// countPhase counts the Ingresses in a phase, with their first path at a backend.
func (env *testEnv) countPhase(phase status.Phase, backend string) int {
	env.Helper()
	list, err := env.client.NetworkingV1().Ingresses(env.app).List(env.Context(), metav1.ListOptions{})
	require.NoError(env, err)
	count := 0
	for i := range list.Items {
		is := status.Phase(list.Items[i].Annotations["migration-proxy.io/phase"])
		if is == phase && (backend == "" || backendOf(&list.Items[i]) == backend) {
			count++
		}
	}
	return count
}

// TestEndpointsAreCopiedFast: a change of a proxy's endpoint, as in a rolling
// restart, is copied to all namespaces at once.
func TestEndpointsAreCopiedFast(t *testing.T) {
	const namespaces = 50
	env := newTestEnv(t, 2)
	env.spreadOver(namespaces)
	env.startWatcher()
	env.eventually(func() bool { return env.countReady(true) == namespaces }, "all have the endpoints")
	env.waitForQuiet()
	for round := range 4 {
		ready := round%2 == 1
		env.proxies[0].ready = ready
		before := len(env.writes.of("endpointslices"))
		began := time.Now()
		env.writeEndpoints()
		env.eventually(func() bool {
			return env.countReady(ready) == namespaces && len(env.writes.of("endpointslices")) >= before+namespaces
		}, "all have the change, and all answers are here")
		writes := env.writes.of("endpointslices")[before:]
		require.Len(t, writes, namespaces, "one each")
		t.Logf("the first of %d namespaces %s after the change, the last %s", namespaces,
			writes[0].at.Sub(began).Round(time.Millisecond), writes[len(writes)-1].at.Sub(began).Round(time.Millisecond))
	}
}

// spreadOver opts in one Ingress in each of so many namespaces, each of its own
// service.
func (env *testEnv) spreadOver(namespaces int) {
	env.Helper()
	env.linger = time.Minute
	text := "services:\n"
	for i := range namespaces {
		app, name := env.newNamespace("app"), fmt.Sprintf("api-%d", i)
		text += configText(app, map[string]int{name: 20})[len("services:\n"):]
		ingress := env.newIngress(name)
		ingress.Namespace = app
		env.createIngress(ingress)
	}
	env.writeConfig(text)
}

// countReady counts the namespaces in which the first of two proxies is ready, or
// not ready.
func (env *testEnv) countReady(ready bool) int {
	env.Helper()
	list, err := env.client.DiscoveryV1().EndpointSlices("").List(env.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/managed-by=migration-proxy"})
	require.NoError(env, err)
	count := 0
	for _, slice := range list.Items {
		if len(slice.Endpoints) == 2 && *slice.Endpoints[0].Conditions.Ready == ready {
			count++
		}
	}
	return count
}

// TestStateWriteHangs: a write of migration-state gets no answer. Endpoints are
// copied meanwhile, and traffic leaves a cluster that fails.
func TestStateWriteHangs(t *testing.T) {
	const namespaces = 20
	env := newTestEnv(t, 2)
	env.spreadOver(namespaces)
	var held atomic.Bool
	holding := make(chan struct{}, 100)
	options := env.options()
	intercept(options, func(request *http.Request, next http.RoundTripper) (*http.Response, error) {
		if held.Load() && request.Method == http.MethodPatch && strings.HasSuffix(request.URL.Path, "/configmaps/"+names.StateMap) {
			holding <- struct{}{}
			<-request.Context().Done()
			return nil, request.Context().Err()
		}
		return next.RoundTrip(request)
	})
	env.startWith(options)
	all := func(phase status.Phase) func() bool {
		return func() bool { return env.countEverywhere(phase) == namespaces }
	}
	env.eventually(all(status.Migrating), "all are rewritten")
	env.waitForQuiet()
	held.Store(true)
	env.reportPhase(2, status.FallenBack, "5 failures in 60s")
	<-holding
	began := time.Now()
	env.proxies[0].ready = false
	env.writeEndpoints()
	env.eventually(func() bool { return env.countReady(false) == namespaces }, "all have the change")
	require.Less(t, time.Since(began), time.Second)
	env.eventually(all(status.FallenBack), "all have fallen back")
	require.Less(t, time.Since(began), 3*time.Second)
	t.Logf("all have fallen back %s later", time.Since(began))
	held.Store(false)
	env.eventually(func() bool { return env.storedState().Services["api-0"].Phase == status.FallenBack }, "the state is written")
}

// countEverywhere counts the Ingresses of all namespaces in a phase.
func (env *testEnv) countEverywhere(phase status.Phase) int {
	env.Helper()
	list, err := env.client.NetworkingV1().Ingresses("").List(env.Context(), metav1.ListOptions{})
	require.NoError(env, err)
	count := 0
	for i := range list.Items {
		if list.Items[i].Annotations[ingressgen.AnnotationPhase] == string(phase) {
			count++
		}
	}
	return count
}

// TestHomeNamespace: an Ingress in the home namespace has a proxy Service as well,
// and the chart's Service is left alone.
func TestHomeNamespace(t *testing.T) {
	env := newTestEnv(t, 1)
	env.app = env.home
	chart := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: names.ProxyService}, Spec: corev1.ServiceSpec{
		Ports: []corev1.ServicePort{{Port: 80}}, Selector: map[string]string{"app": "migration-proxy"},
	}}
	_, err := env.client.CoreV1().Services(env.home).Create(t.Context(), chart, metav1.CreateOptions{})
	require.NoError(t, err)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	env.createIngress(env.newIngress("api"))
	env.startWatcher()
	env.waitForPhase("api", status.Migrating, proxyOf("api"))
	env.waitForQuiet()
	require.Len(t, env.writes.of("services"), 1)
	require.Len(t, env.writes.of("endpointslices"), 1)
}

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
	w := newWorld(t, 2)
	w.write(w.services(map[string]int{"api": 20}))
	w.create(w.ingress("api"))
	w.watch()
	w.until("api", status.Migrating, names.ProxyService)
	require.NoError(t, plane.StopAPIServer())
	w.phase(2, status.FallenBack, "5 failures in 60s")
	time.Sleep(4 * time.Second) // long enough for several failed tries
	require.NoError(t, plane.StartAPIServer(t.Context()))
	back := time.Now()
	w.until("api", status.FallenBack, "api")
	t.Logf("caught up %s after the API server was back", time.Since(back))
	w.phase(2, status.Migrating, "")
	w.until("api", status.Migrating, names.ProxyService)
}

// candidate is one of two replicas that want to lead; cut ends its network.
type candidate struct {
	cut     atomic.Bool
	elected <-chan struct{}
	stop    context.CancelFunc
}

func (w *world) candidate() *candidate {
	w.Helper()
	c := &candidate{}
	config := fast(plane.Config())
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) {
			if c.cut.Load() {
				return nil, errors.New("no network")
			}
			return next.RoundTrip(request)
		})
	})
	c.lead(w, config)
	return c
}

func (c *candidate) lead(w *world, config *rest.Config) {
	w.Helper()
	options := w.options()
	options.Config = config
	watching, err := watcher.New(options)
	require.NoError(w, err)
	lease, renew, retry := 2*time.Second, time.Second, 200*time.Millisecond
	managed, err := manager.New(config, manager.Options{
		LeaderElection: true, LeaderElectionID: names.Lease, LeaderElectionNamespace: w.home,
		LeaderElectionReleaseOnCancel: true, Metrics: metricsserver.Options{BindAddress: "0"},
		LeaseDuration: &lease, RenewDeadline: &renew, RetryPeriod: &retry,
	})
	require.NoError(w, err)
	require.NoError(w, managed.Add(watching))
	c.elected = managed.Elected()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = managed.Start(ctx) // a lost lease is an error, and meant here
	}()
	c.stop = func() { stop(); <-ended }
	w.Cleanup(c.stop)
}

// TestLeaderDies in the middle of a change of many Ingresses: its network is
// cut. The other finishes, knowing nothing but what the cluster has.
func TestLeaderDies(t *testing.T) {
	const ingresses = 200
	w := newWorld(t, 2)
	shares := map[string]int{}
	for i := range ingresses {
		shares[fmt.Sprintf("api-%d", i)] = 20
	}
	w.write(w.services(shares))
	for name := range shares {
		w.create(w.ingress(name))
	}
	first := w.candidate()
	<-first.elected
	w.eventually(func() bool { return w.countIn(status.Migrating, names.ProxyService) == ingresses }, "all are rewritten")
	second := w.candidate()

	for name := range shares {
		shares[name] = 60
	}
	w.write(w.services(shares))
	w.phase(2, status.FallenBack, "5 failures in 60s")
	w.eventually(func() bool { return w.countIn(status.FallenBack, "") > ingresses/10 }, "some have fallen back")
	first.cut.Store(true)
	done := w.countIn(status.FallenBack, "")
	cut := time.Now()
	require.Less(t, done, ingresses, "it was in the middle")
	w.eventually(func() bool { return w.countIn(status.FallenBack, "") == ingresses }, "all have fallen back")
	t.Logf("cut after %d of %d; the other one finished %s later", done, ingresses, time.Since(cut))
	select {
	case <-second.elected:
	default:
		require.Fail(t, "the other one leads")
	}
	for name := range shares {
		require.Equal(t, name, backendOf(w.get(name)))
	}
	first.stop()
	second.stop()
}

// countIn counts the Ingresses in a phase, with their first path at a backend.
func (w *world) countIn(phase status.Phase, backend string) int {
	w.Helper()
	list, err := w.client.NetworkingV1().Ingresses(w.app).List(w.Context(), metav1.ListOptions{})
	require.NoError(w, err)
	count := 0
	for i := range list.Items {
		is := status.Phase(list.Items[i].Annotations["migration-proxy.io/phase"])
		if is == phase && (backend == "" || backendOf(&list.Items[i]) == backend) {
			count++
		}
	}
	return count
}

// TestMirrorIsFast: a proxy's endpoint that comes or goes does so in all
// namespaces at once. This is on the way of a rolling restart.
func TestMirrorIsFast(t *testing.T) {
	const namespaces = 50
	w := newWorld(t, 2)
	w.spread(namespaces)
	w.watch()
	w.eventually(func() bool { return w.heard(true) == namespaces }, "all have the endpoints")
	w.quiet()
	for round := range 4 {
		ready := round%2 == 1
		w.proxies[0].ready = ready
		before := len(w.journal.of("endpointslices"))
		began := time.Now()
		w.endpoints()
		w.eventually(func() bool {
			return w.heard(ready) == namespaces && len(w.journal.of("endpointslices")) >= before+namespaces
		}, "all have the change, and all answers are here")
		writes := w.journal.of("endpointslices")[before:]
		require.Len(t, writes, namespaces, "one each")
		t.Logf("the first of %d namespaces %s after the change, the last %s", namespaces,
			writes[0].at.Sub(began).Round(time.Millisecond), writes[len(writes)-1].at.Sub(began).Round(time.Millisecond))
	}
}

// spread opts an Ingress in, of each of so many namespaces and services.
func (w *world) spread(namespaces int) {
	w.Helper()
	w.linger = time.Minute
	text := "services:\n"
	for i := range namespaces {
		app, name := w.namespace("app"), fmt.Sprintf("api-%d", i)
		text += servicesOf(app, map[string]int{name: 20})[len("services:\n"):]
		ingress := w.ingress(name)
		ingress.Namespace = app
		w.create(ingress)
	}
	w.write(text)
}

// heard counts the namespaces in which the first of two proxies is as ready.
func (w *world) heard(ready bool) int {
	w.Helper()
	list, err := w.client.DiscoveryV1().EndpointSlices("").List(w.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/managed-by=migration-proxy"})
	require.NoError(w, err)
	count := 0
	for _, slice := range list.Items {
		if len(slice.Endpoints) == 2 && *slice.Endpoints[0].Conditions.Ready == ready {
			count++
		}
	}
	return count
}

// TestRecordHangs: the state cannot be written down, and it takes long to find
// out. Endpoints are mirrored meanwhile, and traffic leaves a cluster that fails.
func TestRecordHangs(t *testing.T) {
	const namespaces = 20
	w := newWorld(t, 2)
	w.spread(namespaces)
	var held atomic.Bool
	holding := make(chan struct{}, 100)
	options := w.options()
	between(options, func(request *http.Request, next http.RoundTripper) (*http.Response, error) {
		if held.Load() && request.Method == http.MethodPatch && strings.HasSuffix(request.URL.Path, "/configmaps/"+names.StateMap) {
			holding <- struct{}{}
			<-request.Context().Done()
			return nil, request.Context().Err()
		}
		return next.RoundTrip(request)
	})
	w.start(options)
	all := func(phase status.Phase) func() bool {
		return func() bool { return w.countEverywhere(phase) == namespaces }
	}
	w.eventually(all(status.Migrating), "all are rewritten")
	w.quiet()
	held.Store(true)
	w.phase(2, status.FallenBack, "5 failures in 60s")
	<-holding
	began := time.Now()
	w.proxies[0].ready = false
	w.endpoints()
	w.eventually(func() bool { return w.heard(false) == namespaces }, "all have the change")
	require.Less(t, time.Since(began), time.Second)
	w.eventually(all(status.FallenBack), "all have fallen back")
	require.Less(t, time.Since(began), 3*time.Second)
	t.Logf("all have fallen back %s later", time.Since(began))
	held.Store(false)
	w.eventually(func() bool { return w.state().Services["api-0"].Phase == status.FallenBack }, "it is recorded")
}

// countEverywhere counts the Ingresses of all namespaces in a phase.
func (w *world) countEverywhere(phase status.Phase) int {
	w.Helper()
	list, err := w.client.NetworkingV1().Ingresses("").List(w.Context(), metav1.ListOptions{})
	require.NoError(w, err)
	count := 0
	for i := range list.Items {
		if list.Items[i].Annotations[ingressgen.AnnotationPhase] == string(phase) {
			count++
		}
	}
	return count
}

// TestHome: an Ingress of our own namespace uses the chart's Service.
func TestHome(t *testing.T) {
	w := newWorld(t, 1)
	w.app = w.home
	chart := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: names.ProxyService}, Spec: corev1.ServiceSpec{
		Ports: []corev1.ServicePort{{Port: 80}}, Selector: map[string]string{"app": "migration-proxy"},
	}}
	_, err := w.client.CoreV1().Services(w.home).Create(t.Context(), chart, metav1.CreateOptions{})
	require.NoError(t, err)
	w.write(w.services(map[string]int{"api": 20}))
	w.create(w.ingress("api"))
	w.watch()
	w.until("api", status.Migrating, names.ProxyService)
	w.quiet()
	require.Empty(t, w.journal.of("services"))
	require.Empty(t, w.journal.of("endpointslices"))
}

package watcher_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/controlplane"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/watcher"
)

var plane *controlplane.ControlPlane

func TestMain(m *testing.M) {
	os.Exit(controlplane.Main(m, controlplane.Options{}, &plane))
}

// soon is how long anything may take; busy machines are slow.
const soon = 20 * time.Second

// world is an installation without its programs: a namespace of ours with the
// ConfigMaps and the proxies' endpoints, and one of an application. A watcher
// sees all Ingresses of the cluster, so tests with a world run one at a time.
type world struct {
	*testing.T
	client    kubernetes.Interface
	home, app string
	proxies   []*proxy
	journal   *journal
	linger    time.Duration
	notice    time.Duration
}

// proxy is a replica as the watcher knows one: an address in an EndpointSlice
// (which may not be of this machine), and a server that says how it is doing.
type proxy struct {
	address string
	ready   bool
	server  *httptest.Server
	mu      sync.Mutex
	status  status.Status
	down    bool
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		http.Error(w, "down", http.StatusInternalServerError)
		return
	}
	_ = json.NewEncoder(w).Encode(p.status)
}

func newWorld(t *testing.T, replicas int) *world {
	t.Helper()
	client, err := kubernetes.NewForConfig(fast(plane.Config()))
	require.NoError(t, err)
	w := &world{T: t, client: client, journal: &journal{}, linger: 300 * time.Millisecond, notice: 100 * time.Millisecond}
	w.home, w.app = w.namespace("home"), w.namespace("app")
	for i := range replicas {
		p := &proxy{address: fmt.Sprintf("10.1.0.%d", i+1), ready: true}
		p.server = httptest.NewServer(p)
		t.Cleanup(p.server.Close)
		w.proxies = append(w.proxies, p)
	}
	w.endpoints()
	w.put(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: names.StateMap}})
	t.Cleanup(w.clean)
	return w
}

func fast(config *rest.Config) *rest.Config {
	config.QPS = -1
	return config
}

func (w *world) namespace(prefix string) string {
	w.Helper()
	name, err := plane.Namespace(w.Context(), prefix)
	require.NoError(w, err)
	return name
}

// clean leaves nothing that the next test's watcher would see.
func (w *world) clean() {
	ctx := context.Background()
	namespaces, err := w.client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	require.NoError(w, err)
	all := metav1.DeleteOptions{}
	for _, namespace := range namespaces.Items {
		if strings.HasPrefix(namespace.Name, "kube-") || namespace.Name == "default" {
			continue
		}
		require.NoError(w, w.client.NetworkingV1().Ingresses(namespace.Name).DeleteCollection(ctx, all, metav1.ListOptions{}))
		require.NoError(w, w.client.DiscoveryV1().EndpointSlices(namespace.Name).DeleteCollection(ctx, all, metav1.ListOptions{}))
		services, err := w.client.CoreV1().Services(namespace.Name).List(ctx, metav1.ListOptions{})
		require.NoError(w, err)
		for _, service := range services.Items {
			require.NoError(w, w.client.CoreV1().Services(namespace.Name).Delete(ctx, service.Name, all))
		}
	}
}

// endpoints writes our own Service's EndpointSlice as the proxies are.
func (w *world) endpoints() {
	w.Helper()
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Name: "migration-proxy-abcde", Namespace: w.home, Labels: map[string]string{discoveryv1.LabelServiceName: names.ProxyService},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports: []discoveryv1.EndpointPort{
			{Name: new("http"), Port: new(int32(8000)), Protocol: new(corev1.ProtocolTCP)},
			{Name: new("new"), Port: new(int32(8001)), Protocol: new(corev1.ProtocolTCP)},
			{Name: new("status"), Port: new(int32(8080)), Protocol: new(corev1.ProtocolTCP)},
		},
	}
	for _, p := range w.proxies {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{p.address}, Conditions: discoveryv1.EndpointConditions{Ready: new(p.ready)},
			TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: "proxy-" + p.address},
		})
	}
	slices := w.client.DiscoveryV1().EndpointSlices(w.home)
	_, err := slices.Update(w.Context(), slice, metav1.UpdateOptions{})
	if err != nil {
		_, err = slices.Create(w.Context(), slice, metav1.CreateOptions{})
	}
	require.NoError(w, err)
}

func (w *world) put(configMap *corev1.ConfigMap) {
	w.Helper()
	maps := w.client.CoreV1().ConfigMaps(w.home)
	_, err := maps.Update(w.Context(), configMap, metav1.UpdateOptions{})
	if err != nil {
		_, err = maps.Create(w.Context(), configMap, metav1.CreateOptions{})
	}
	require.NoError(w, err)
}

// write writes the migration config; the proxies serve it at once, each
// service in phase Migrating.
func (w *world) write(text string) {
	w.Helper()
	if table, err := config.Load("test", []byte(text)); err == nil {
		w.serve(func(s *status.Status) {
			s.Config.Digest, s.Services = table.Digest(), nil
			for _, service := range table.Services() {
				s.Services = append(s.Services, status.Service{
					Name: string(service.Name), OldHost: string(service.OldHost), PathPrefix: string(service.PathPrefix), Phase: status.Migrating,
				})
			}
		})
	}
	w.put(w.config(text))
}

func (w *world) config(text string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: names.ConfigMap, Labels: map[string]string{ingressgen.LabelConfig: "true"}},
		Data:       map[string]string{names.ConfigKey: text},
	}
}

// serve changes what all proxies say.
func (w *world) serve(change func(*status.Status)) {
	for _, p := range w.proxies {
		p.mu.Lock()
		p.status.StartedAt = time.Unix(1, 0)
		change(&p.status)
		p.mu.Unlock()
	}
}

// phase makes a number of proxies say that all services are in a phase.
func (w *world) phase(proxies int, phase status.Phase, reason string) {
	for _, p := range w.proxies[:proxies] {
		p.mu.Lock()
		p.status.Services = append([]status.Service(nil), p.status.Services...)
		for i := range p.status.Services {
			p.status.Services[i].Phase, p.status.Services[i].Reason = phase, reason
		}
		p.mu.Unlock()
	}
}

// services is a migration config: names api, web, ... each with a share.
func (w *world) services(shares map[string]int) string { return servicesOf(w.app, shares) }

func servicesOf(app string, shares map[string]int) string {
	text := "services:\n"
	for name, share := range shares {
		text += fmt.Sprintf("- {name: %[1]s, old_host: %[1]s.old.example, old_backend: '%[1]s.%[2]s.svc:80', "+
			"new_host: n.example, new_backend: 'n.example:443', migration: {enabled: true, percentage: %[3]d}}\n", name, app, share)
	}
	return text
}

// ingress is what a user writes: two paths, of which one is ours.
func (w *world) ingress(name string) *networkingv1.Ingress {
	backend := func(service string) networkingv1.IngressBackend {
		return networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{
			Name: service, Port: networkingv1.ServiceBackendPort{Number: 80},
		}}
	}
	prefix := networkingv1.PathTypePrefix
	rule := networkingv1.IngressRule{Host: name + ".old.example"}
	rule.HTTP = &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{
		{Path: "/", PathType: &prefix, Backend: backend(name)},
		{Path: "/.well-known/acme-challenge/x", PathType: &prefix, Backend: backend("solver")},
	}}
	return &networkingv1.Ingress{
		TypeMeta: metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "Ingress"},
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: w.app, Annotations: map[string]string{ingressgen.AnnotationEnabled: "true", "mine": "kept"},
		},
		Spec: networkingv1.IngressSpec{Rules: []networkingv1.IngressRule{rule}},
	}
}

func (w *world) create(ingress *networkingv1.Ingress) {
	w.Helper()
	_, err := w.client.NetworkingV1().Ingresses(ingress.Namespace).Create(w.Context(), ingress, metav1.CreateOptions{})
	require.NoError(w, err)
}

func (w *world) get(name string) *networkingv1.Ingress {
	w.Helper()
	found, err := w.client.NetworkingV1().Ingresses(w.app).Get(w.Context(), name, metav1.GetOptions{})
	require.NoError(w, err)
	return found
}

func (w *world) annotate(name, annotation, value string) {
	w.Helper()
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%s}}}`, annotation, value)
	_, err := w.client.NetworkingV1().Ingresses(w.app).Patch(w.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	require.NoError(w, err)
}

func (w *world) merge(configMap, patch string) {
	w.Helper()
	_, err := w.client.CoreV1().ConfigMaps(w.home).Patch(w.Context(), configMap, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	require.NoError(w, err)
}

// renamed is the same Ingress by another name.
func renamed(ingress *networkingv1.Ingress, name string) *networkingv1.Ingress {
	ingress.Name = name
	return ingress
}

// backendOf is the Service of the Ingress's first path.
func backendOf(ingress *networkingv1.Ingress) string {
	return ingress.Spec.Rules[0].HTTP.Paths[0].Backend.Service.Name
}

// until waits for an Ingress to be in a phase, with its first path at a backend.
func (w *world) until(name string, phase status.Phase, backend string) *networkingv1.Ingress {
	w.Helper()
	var found *networkingv1.Ingress
	w.eventually(func() bool {
		found = w.get(name)
		return status.Phase(found.Annotations[ingressgen.AnnotationPhase]) == phase && backendOf(found) == backend
	}, "Ingress %s in phase %q at %s", name, phase, backend)
	return found
}

func (w *world) eventually(condition func() bool, message string, args ...any) {
	w.Helper()
	require.Eventually(w, condition, soon, 5*time.Millisecond, fmt.Sprintf(message, args...))
}

// event waits for an Event on an object.
func (w *world) event(namespace, name, reason string) *eventsv1.Event {
	w.Helper()
	var found *eventsv1.Event
	w.eventually(func() bool {
		list, err := w.client.EventsV1().Events(namespace).List(w.Context(), metav1.ListOptions{})
		require.NoError(w, err)
		for i := range list.Items {
			if list.Items[i].Regarding.Name == name && list.Items[i].Reason == reason {
				found = &list.Items[i]
			}
		}
		return found != nil
	}, "Event %s on %s/%s", reason, namespace, name)
	return found
}

func (w *world) state() status.Cluster {
	w.Helper()
	found, err := w.client.CoreV1().ConfigMaps(w.home).Get(w.Context(), names.StateMap, metav1.GetOptions{})
	require.NoError(w, err)
	state, err := status.ParseCluster(found.Data)
	require.NoError(w, err)
	return state
}

// options are those of a watcher of this world, whose requests are in the
// journal.
func (w *world) options() watcher.Options {
	config := plane.Config()
	config.Wrap(w.journal.wrap)
	log := slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(w.Output(), nil))
	}
	return watcher.Options{Config: config, Namespace: w.home, Ask: w.ask, Linger: w.linger, Notice: w.notice, Log: log}
}

func (w *world) ask(ctx context.Context, endpoint kube.Endpoint) ([]byte, error) {
	for _, p := range w.proxies {
		if p.address != endpoint.Address.Addr().String() {
			continue
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.server.URL, nil)
		if err != nil {
			return nil, err
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return nil, err
		}
		defer func() { _ = answer.Body.Close() }()
		if answer.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("it answers %s", answer.Status)
		}
		return io.ReadAll(answer.Body)
	}
	return nil, fmt.Errorf("no proxy has address %s", endpoint.Address)
}

// watch runs a watcher until stop is called, or the test ends.
func (w *world) watch() (stop func()) {
	w.Helper()
	_, stop = w.start(w.options())
	return stop
}

func (w *world) start(options watcher.Options) (started *watcher.Watcher, stop func()) {
	w.Helper()
	started, err := watcher.New(options)
	require.NoError(w, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- started.Start(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			require.NoError(w, err)
		case <-time.After(soon):
			require.Fail(w, "the watcher does not end")
		}
	})
	w.Cleanup(stop)
	return started, stop
}

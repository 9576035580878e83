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

// maxWait is for a busy machine; most of what the tests wait for takes
// milliseconds.
const maxWait = 20 * time.Second

// testEnv is an installation without its programs: the home namespace with the
// ConfigMaps and the endpoints of the proxies, and the namespace of an
// application. A watcher acts on all Ingresses of the cluster, cleanUp empties it, and
// some tests stop the API server, so tests with a testEnv run one at a time.
type testEnv struct {
	*testing.T
	client    kubernetes.Interface
	home, app string
	proxies   []*proxy
	writes    *apiWrites
	linger    time.Duration
	notice    time.Duration

	anchorSettle time.Duration
}

// proxy is a replica as the watcher sees it: an address in an EndpointSlice
// (which this machine does not have), and a server with its status.
type proxy struct {
	address string
	ready   bool
	server  *httptest.Server
	mu      sync.Mutex
	status  status.Status
	down    bool
	cut     bool // nothing connects to it any more
	polls   int  // requests for the status
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.polls++
	if p.down {
		http.Error(w, "down", http.StatusInternalServerError)
		return
	}
	_ = json.NewEncoder(w).Encode(p.status)
}

func newTestEnv(t *testing.T, replicas int) *testEnv {
	t.Helper()
	client, err := kubernetes.NewForConfig(fast(plane.Config()))
	require.NoError(t, err)
	env := &testEnv{T: t, client: client, writes: &apiWrites{}, linger: 300 * time.Millisecond, notice: 100 * time.Millisecond, anchorSettle: 100 * time.Millisecond}
	env.home, env.app = env.newNamespace("home"), env.newNamespace("app")
	for i := range replicas {
		p := &proxy{address: fmt.Sprintf("10.1.0.%d", i+1), ready: true}
		p.server = httptest.NewServer(p)
		t.Cleanup(p.server.Close)
		env.proxies = append(env.proxies, p)
	}
	env.writeEndpoints()
	env.putConfigMap(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: names.StateMap}})
	t.Cleanup(env.cleanUp)
	return env
}

func fast(config *rest.Config) *rest.Config {
	config.QPS = -1
	return config
}

func (env *testEnv) newNamespace(prefix string) string {
	env.Helper()
	name, err := plane.Namespace(env.Context(), prefix)
	require.NoError(env, err)
	return name
}

// cleanUp removes everything that the next test's watcher would see.
func (env *testEnv) cleanUp() {
	ctx := context.Background()
	namespaces, err := env.client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	require.NoError(env, err)
	all := metav1.DeleteOptions{}
	for _, namespace := range namespaces.Items {
		if strings.HasPrefix(namespace.Name, "kube-") || namespace.Name == "default" {
			continue
		}
		require.NoError(env, env.client.NetworkingV1().Ingresses(namespace.Name).DeleteCollection(ctx, all, metav1.ListOptions{}))
		require.NoError(env, env.client.DiscoveryV1().EndpointSlices(namespace.Name).DeleteCollection(ctx, all, metav1.ListOptions{}))
		services, err := env.client.CoreV1().Services(namespace.Name).List(ctx, metav1.ListOptions{})
		require.NoError(env, err)
		for _, service := range services.Items {
			require.NoError(env, env.client.CoreV1().Services(namespace.Name).Delete(ctx, service.Name, all))
		}
	}
}

// writeEndpoints writes the EndpointSlice of the chart's Service.
func (env *testEnv) writeEndpoints() {
	env.Helper()
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Name: "migration-proxy-abcde", Namespace: env.home, Labels: map[string]string{discoveryv1.LabelServiceName: names.ProxyService},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports: []discoveryv1.EndpointPort{
			{Name: new("http"), Port: new(int32(8000)), Protocol: new(corev1.ProtocolTCP)},
			{Name: new("new"), Port: new(int32(8001)), Protocol: new(corev1.ProtocolTCP)},
			{Name: new("status"), Port: new(int32(8080)), Protocol: new(corev1.ProtocolTCP)},
		},
	}
	for _, p := range env.proxies {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{p.address}, Conditions: discoveryv1.EndpointConditions{Ready: new(p.ready)},
			TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: "proxy-" + p.address},
		})
	}
	slices := env.client.DiscoveryV1().EndpointSlices(env.home)
	_, err := slices.Update(env.Context(), slice, metav1.UpdateOptions{})
	if err != nil {
		_, err = slices.Create(env.Context(), slice, metav1.CreateOptions{})
	}
	require.NoError(env, err)
}

func (env *testEnv) putConfigMap(configMap *corev1.ConfigMap) {
	env.Helper()
	maps := env.client.CoreV1().ConfigMaps(env.home)
	_, err := maps.Update(env.Context(), configMap, metav1.UpdateOptions{})
	if err != nil {
		_, err = maps.Create(env.Context(), configMap, metav1.CreateOptions{})
	}
	require.NoError(env, err)
}

// writeConfig writes the migration config. If it is valid, the proxies report
// that they serve it, with each service in phase Migrating.
func (env *testEnv) writeConfig(text string) {
	env.Helper()
	env.serve(text, env.proxies...)
	env.putConfigMap(env.configMap(text))
}

// serve makes proxies report that they serve a config, if it is valid.
func (env *testEnv) serve(text string, proxies ...*proxy) {
	table, err := config.Load("test", []byte(text))
	if err != nil {
		return
	}
	setStatus(proxies, func(s *status.Status) {
		s.Config.Digest, s.Services = table.Digest(), nil
		for _, service := range table.Services() {
			s.Services = append(s.Services, status.Service{
				Name: string(service.Name), OldHost: string(service.OldHost), PathPrefix: string(service.PathPrefix), Phase: status.Migrating,
			})
		}
	})
}

func (env *testEnv) configMap(text string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: names.ConfigMap, Labels: map[string]string{ingressgen.LabelConfig: "true"}},
		Data:       map[string]string{names.ConfigKey: text},
	}
}

// setStatus changes the status of all proxies.
func (env *testEnv) setStatus(change func(*status.Status)) { setStatus(env.proxies, change) }

func setStatus(proxies []*proxy, change func(*status.Status)) {
	for _, p := range proxies {
		p.mu.Lock()
		p.status.StartedAt = time.Unix(1, 0)
		change(&p.status)
		p.mu.Unlock()
	}
}

// reportPhase makes a number of proxies report a phase of all services.
func (env *testEnv) reportPhase(proxies int, phase status.Phase, reason string) {
	for _, p := range env.proxies[:proxies] {
		p.mu.Lock()
		p.status.Services = append([]status.Service(nil), p.status.Services...)
		for i := range p.status.Services {
			p.status.Services[i].Phase, p.status.Services[i].Reason = phase, reason
		}
		p.mu.Unlock()
	}
}

// servicesConfig is a migration config with services "api", "web", ..., each with
// a percentage.
func (env *testEnv) servicesConfig(shares map[string]int) string { return configText(env.app, shares) }

func configText(app string, shares map[string]int) string {
	text := "services:\n"
	for name, share := range shares {
		text += fmt.Sprintf("- {name: %[1]s, old_host: %[1]s.old.example, old_backend: '%[1]s.%[2]s.svc:80', "+
			"new_host: n.example, new_backend: 'n.example:443', migration: {enabled: true, percentage: %[3]d}}\n", name, app, share)
	}
	return text
}

// newIngress is what a user writes: two paths, of which one is to be migrated.
func (env *testEnv) newIngress(name string) *networkingv1.Ingress {
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
			Name: name, Namespace: env.app, Annotations: map[string]string{ingressgen.AnnotationEnabled: "true", "mine": "kept"},
		},
		Spec: networkingv1.IngressSpec{Rules: []networkingv1.IngressRule{rule}},
	}
}

func (env *testEnv) createIngress(ingress *networkingv1.Ingress) {
	env.Helper()
	_, err := env.client.NetworkingV1().Ingresses(ingress.Namespace).Create(env.Context(), ingress, metav1.CreateOptions{})
	require.NoError(env, err)
}

func (env *testEnv) getIngress(name string) *networkingv1.Ingress {
	env.Helper()
	found, err := env.client.NetworkingV1().Ingresses(env.app).Get(env.Context(), name, metav1.GetOptions{})
	require.NoError(env, err)
	return found
}

func (env *testEnv) annotate(name, annotation, value string) {
	env.Helper()
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%s}}}`, annotation, value)
	_, err := env.client.NetworkingV1().Ingresses(env.app).Patch(env.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	require.NoError(env, err)
}

func (env *testEnv) patchConfigMap(configMap, patch string) {
	env.Helper()
	_, err := env.client.CoreV1().ConfigMaps(env.home).Patch(env.Context(), configMap, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	require.NoError(env, err)
}

// renamed is the same Ingress by another name.
func renamed(ingress *networkingv1.Ingress, name string) *networkingv1.Ingress {
	ingress.Name = name
	return ingress
}

// proxyOf is the name of the proxy Service for port 80 of a Service.
func proxyOf(service string) string {
	return proxyOfPort(service, networkingv1.ServiceBackendPort{Number: 80})
}

func proxyOfPort(service string, port networkingv1.ServiceBackendPort) string {
	return ingressgen.ProxyService("", networkingv1.IngressServiceBackend{Name: service, Port: port}, nil).Name
}

// backendOf is the Service of the Ingress's first path.
func backendOf(ingress *networkingv1.Ingress) string {
	return ingress.Spec.Rules[0].HTTP.Paths[0].Backend.Service.Name
}

// waitForPhase waits until an Ingress is in a phase, with its first path at a
// backend.
func (env *testEnv) waitForPhase(name string, phase status.Phase, backend string) *networkingv1.Ingress {
	env.Helper()
	var found *networkingv1.Ingress
	env.eventually(func() bool {
		found = env.getIngress(name)
		return status.Phase(found.Annotations[ingressgen.AnnotationPhase]) == phase && backendOf(found) == backend
	}, "Ingress %s in phase %q at %s", name, phase, backend)
	return found
}

func (env *testEnv) eventually(condition func() bool, message string, args ...any) {
	env.Helper()
	require.Eventually(env, condition, maxWait, 5*time.Millisecond, append([]any{message}, args...)...)
}

// waitForPolls waits until the state loop has what the proxies report now: the
// second poll that begins from now on comes after the result of the first.
func (env *testEnv) waitForPolls() {
	env.Helper()
	for _, p := range env.proxies {
		before := p.countPolls()
		env.eventually(func() bool { return p.countPolls() >= before+2 }, "two polls of %s", p.address)
	}
}

func (p *proxy) countPolls() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.polls
}

func (env *testEnv) storedState() status.Cluster {
	env.Helper()
	found, err := env.client.CoreV1().ConfigMaps(env.home).Get(env.Context(), names.StateMap, metav1.GetOptions{})
	require.NoError(env, err)
	state, err := status.ParseCluster(found.Data)
	require.NoError(env, err)
	return state
}

// options are those of a watcher whose writes are recorded.
func (env *testEnv) options() watcher.Options {
	config := plane.Config()
	config.Wrap(env.writes.wrap)
	log := slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(env.Output(), nil))
	}
	return watcher.Options{Config: config, Namespace: env.home, GetStatus: env.getStatus, Linger: env.linger, Notice: env.notice, AnchorSettle: env.anchorSettle, NoteWait: 500 * time.Millisecond, Log: log}
}

func (env *testEnv) getStatus(ctx context.Context, endpoint kube.Endpoint) ([]byte, error) {
	for _, p := range env.proxies {
		if p.address != endpoint.Address.Addr().String() {
			continue
		}
		p.mu.Lock()
		cut := p.cut
		p.mu.Unlock()
		if cut {
			return nil, kube.ErrUnreachable
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

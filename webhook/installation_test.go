package webhook

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/controlplane"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

var plane *controlplane.ControlPlane

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		serveAsChild()
		return
	}
	os.Exit(controlplane.Main(m, controlplane.Options{}, &plane))
}

// installation is one installation on the real API server: its own namespace, a
// namespace with applications, the webhook behind real TLS, and a user's client.
// Installations do not see each other's applications.
type installation struct {
	*kubernetes.Clientset        // of a user who may do everything
	own, apps             string // namespaces
	admission             *Admission
	warnings              *recorder
	serviceReads          atomic.Int64 // requests of the webhook's client for Services
	stop                  func()       // stops the webhook
	log                   testbed.Log  // of the webhook
}

// installationConfig is a config with one service, whose old_backend is Service web.
func installationConfig(apps string) string {
	return strings.ReplaceAll(oneService, "web.shop.svc", "web."+apps+".svc")
}

func newInstallation(t *testing.T) *installation {
	t.Helper()
	s := &installation{warnings: &recorder{}}
	var err error
	s.own, err = plane.Namespace(t.Context(), "own")
	require.NoError(t, err)
	s.apps, err = plane.Namespace(t.Context(), "apps")
	require.NoError(t, err)
	user := plane.Config()
	user.WarningHandlerWithContext = s.warnings
	s.Clientset, err = kubernetes.NewForConfig(user)
	require.NoError(t, err)
	s.createConfigMap(t, names.ConfigMap, names.ConfigKey, installationConfig(s.apps))
	s.createConfigMap(t, names.StateMap, status.ClusterKey, served)
	address, ca := s.serve(t)
	s.register(t, address, ca)
	return s
}

func (s *installation) createConfigMap(t *testing.T, name, key, text string) {
	t.Helper()
	_, err := s.CoreV1().ConfigMaps(s.own).Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{ingressgen.LabelConfig: "true"}},
		Data:       map[string]string{key: text},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
}

// serve runs the webhook, and gives its address and its CA.
func (s *installation) serve(t *testing.T) (address string, ca []byte) {
	t.Helper()
	config := plane.Config()
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			if strings.Contains(r.URL.Path, "/services/") {
				s.serviceReads.Add(1)
			}
			return next.RoundTrip(r)
		})
	})
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	object := func(name string) kube.NamedConfigMap {
		return kube.NamedConfigMap{Client: client, Namespace: s.own, Name: name, Log: quiet}
	}
	cache := NewConfigCache(object(names.ConfigMap), object(names.StateMap), quiet)
	notes := NewNoteWriter(object(names.AuditMap))
	s.admission = New(Options{Cache: cache, Services: client.CoreV1(), Self: User(s.own, names.Webhook), Notes: notes, Log: slog.New(slog.NewTextHandler(&s.log, nil))})

	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	s.stop = func() { cancel(); running.Wait() }
	t.Cleanup(s.stop)
	running.Go(func() { _ = cache.Follow(ctx) })
	running.Go(func() { notes.Run(ctx) })
	address, ca = listen(ctx, t, &running, s.admission.Register)
	require.Eventually(t, func() bool { return cache.Synced() == nil }, 10*time.Second, 5*time.Millisecond)
	return address, ca
}

// listen runs a webhook server on a free port.
func listen(ctx context.Context, t testing.TB, running *sync.WaitGroup, register func(ctrlwebhook.Server)) (address string, ca []byte) {
	t.Helper()
	port, err := testbed.FreePort()
	require.NoError(t, err)
	pair, ca := newCertificate(t)
	server := NewServer(ServerOptions{Address: fmt.Sprintf("127.0.0.1:%d", port), TLS: &tls.Config{Certificates: []tls.Certificate{*pair}}})
	register(server)
	running.Go(func() { _ = server.Start(ctx) })
	started := server.StartedChecker()
	require.Eventually(t, func() bool { return started(nil) == nil }, 10*time.Second, 5*time.Millisecond)
	return fmt.Sprintf("127.0.0.1:%d", port), ca
}

// newCertificate is a certificate of the server, and its CA.
func newCertificate(t testing.TB) (*tls.Certificate, []byte) {
	t.Helper()
	authority, err := testbed.NewAuthority()
	require.NoError(t, err)
	pair, err := authority.Server("localhost", "127.0.0.1")
	require.NoError(t, err)
	return pair, authority.PEM()
}

// register creates the same objects as the chart, except for the address (nothing
// implements Services here), the names, and the namespaces that they select.
func (s *installation) register(t *testing.T, address string, ca []byte) {
	t.Helper()
	mutating, validating, err := controlplane.Webhooks(s.own)
	require.NoError(t, err)
	mutating.Name, validating.Name = s.own, s.own
	setAddress := func(client *admissionregistrationv1.WebhookClientConfig) {
		client.URL = new("https://" + address + *client.Service.Path)
		client.Service, client.CABundle = nil, ca
	}
	for i := range mutating.Webhooks {
		hook := &mutating.Webhooks[i]
		setAddress(&hook.ClientConfig)
		hook.NamespaceSelector.MatchExpressions = append(hook.NamespaceSelector.MatchExpressions, metav1.LabelSelectorRequirement{
			Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpIn, Values: []string{s.apps, s.own},
		})
	}
	for i := range validating.Webhooks {
		setAddress(&validating.Webhooks[i].ClientConfig)
	}
	_, err = s.AdmissionregistrationV1().MutatingWebhookConfigurations().Create(t.Context(), mutating, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = s.AdmissionregistrationV1().ValidatingWebhookConfigurations().Create(t.Context(), validating, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { s.unregister(t) })
	s.waitForCalls(t)
}

func (s *installation) unregister(t *testing.T) {
	ctx := context.WithoutCancel(t.Context())
	require.NoError(t, s.AdmissionregistrationV1().MutatingWebhookConfigurations().Delete(ctx, s.own, metav1.DeleteOptions{}))
	require.NoError(t, s.AdmissionregistrationV1().ValidatingWebhookConfigurations().Delete(ctx, s.own, metav1.DeleteOptions{}))
}

// waitForCalls waits until the API server calls both webhooks.
func (s *installation) waitForCalls(t *testing.T) {
	t.Helper()
	dry := []string{metav1.DryRunAll}
	require.Eventually(t, func() bool {
		_, err := s.NetworkingV1().Ingresses(s.apps).Create(t.Context(), ingress("probe", "web", 80), metav1.CreateOptions{DryRun: dry})
		require.NoError(t, err)
		return s.count("ingress") > 0
	}, 10*time.Second, 20*time.Millisecond)
	require.Eventually(t, func() bool {
		probe := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "probe", Labels: map[string]string{ingressgen.LabelConfig: "true"}}}
		_, _ = s.CoreV1().ConfigMaps(s.own).Create(t.Context(), probe, metav1.CreateOptions{DryRun: dry})
		return s.count("config") > 0
	}, 10*time.Second, 20*time.Millisecond)
	s.warnings.take()
}

// count is the number of requests of a kind so far.
func (s *installation) count(kind string) int {
	registry := prometheus.NewRegistry()
	registry.MustRegister(s.admission)
	families, _ := registry.Gather()
	total := 0.0
	for _, family := range families {
		for _, metric := range family.Metric {
			for _, label := range metric.Label {
				if label.GetName() == "kind" && label.GetValue() == kind && metric.Counter != nil {
					total += metric.Counter.GetValue()
				}
			}
		}
	}
	return int(total)
}

// ingress is an opted-in Ingress for api.example.com.
func ingress(name, service string, port int32) *networkingv1.Ingress {
	return &networkingv1.Ingress{
		TypeMeta:   metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "Ingress"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{ingressgen.AnnotationEnabled: "true", "team": "web"}},
		Spec: networkingv1.IngressSpec{Rules: []networkingv1.IngressRule{{
			Host: "api.example.com",
			IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{{
				Path: "/", PathType: new(networkingv1.PathTypePrefix),
				Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{
					Name: service, Port: networkingv1.ServiceBackendPort{Number: port},
				}},
			}}}},
		}}},
	}
}

// recorder keeps the warnings that a client gets.
type recorder struct {
	mu       sync.Mutex
	warnings []string
}

// HandleWarningHeaderWithContext implements rest.WarningHandlerWithContext.
func (r *recorder) HandleWarningHeaderWithContext(_ context.Context, _ int, _, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.warnings = append(r.warnings, text)
}

// take gives the warnings since the last call.
func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	warnings := r.warnings
	r.warnings = nil
	return warnings
}

var _ rest.WarningHandlerWithContext = (*recorder)(nil)

type roundTrip func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

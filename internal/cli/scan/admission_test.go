package scan

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/cli/installation"
	"github.com/migration-proxy/migration-proxy/internal/controlplane"
	"github.com/migration-proxy/migration-proxy/internal/excerpt"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/migration-proxy/migration-proxy/scan"
	"github.com/migration-proxy/migration-proxy/watcher"
	"github.com/migration-proxy/migration-proxy/webhook"
)

var plane *controlplane.ControlPlane

func TestMain(m *testing.M) { os.Exit(controlplane.Main(m, controlplane.Options{}, &plane)) }

// maxWait is for a busy machine.
const maxWait = 60 * time.Second

// site is a cluster with the corpus in it, and an installation to come.
type site struct {
	*testing.T
	*kubernetes.Clientset
	home, apps, other string // namespaces
	installation      *installation.Installation

	mu       sync.Mutex
	warnings []string      // of the last answer
	replica  status.Status // what the replica reports
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{T: t}
	for prefix, name := range map[string]*string{"home": &s.home, "apps": &s.apps, "other": &s.other} {
		var err error
		*name, err = plane.Namespace(t.Context(), prefix)
		require.NoError(t, err)
	}
	user := plane.Config()
	user.QPS, user.WarningHandler = -1, s
	var err error
	s.Clientset, err = kubernetes.NewForConfig(user)
	require.NoError(t, err)
	connection, err := kube.Connect(kube.Connection{Kubeconfig: plane.Kubeconfig(), Namespace: s.home})
	require.NoError(t, err)
	s.installation = installation.New(connection)
	return s
}

// HandleWarningHeader implements rest.WarningHandler.
func (s *site) HandleWarningHeader(_ int, _, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.HasPrefix(text, "migration-proxy: ") {
		s.warnings = append(s.warnings, text)
	}
}

func (s *site) takeWarnings() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.warnings
	s.warnings = nil
	return taken
}

// TestScanEqualsAdmission: what scan says of each Ingress of the corpus, while nothing is
// installed, is what admission and watcher do when its user opts it in.
func TestScanEqualsAdmission(t *testing.T) {
	s := newSite(t)
	ingresses := newCorpus(s.apps, s.other)
	require.GreaterOrEqual(t, len(ingresses), 300)
	s.create(ingresses)

	before, text := s.scan()
	require.Len(t, before.Ingresses, len(ingresses))
	s.install(scan.Loadable(text))
	after, rest := s.scan()
	require.Equal(t, before.Ingresses, after.Ingresses, "the services of --write-config are those that scan assumes")
	require.Contains(t, rest, "services: []")

	said := map[scan.Verdict]int{}
	for _, ingress := range before.Ingresses {
		s.optIn(ingress)
		said[ingress.Verdict]++
	}
	for _, verdict := range scan.Verdicts() {
		require.Positive(t, said[verdict], "the corpus has no Ingress that is %s", verdict)
	}
	t.Log(len(ingresses), "Ingresses:", said)
	found := s.waitUntilDecided()
	for _, ingress := range before.Ingresses {
		s.requireVerdict(ingress, found)
	}
}

func (s *site) create(ingresses []*networkingv1.Ingress) {
	for _, class := range corpusClasses() {
		_, err := s.NetworkingV1().IngressClasses().Create(s.Context(), class, metav1.CreateOptions{})
		require.NoError(s, err)
	}
	for _, namespace := range []string{s.apps, s.other} {
		for _, service := range corpusServices() {
			_, err := s.CoreV1().Services(namespace).Create(s.Context(), service, metav1.CreateOptions{})
			require.NoError(s, err)
		}
	}
	for _, ingress := range ingresses {
		_, err := s.NetworkingV1().Ingresses(ingress.Namespace).Create(s.Context(), ingress, metav1.CreateOptions{})
		require.NoError(s, err, ingress.Name)
	}
}

func (s *site) scan() (scan.Result, string) {
	source := FromCluster(s.installation, []string{s.apps, s.other})
	var text, found bytes.Buffer
	require.NoError(s, Show(s.Context(), &text, source, Options{Format: Config}))
	require.NoError(s, Show(s.Context(), &found, source, Options{Format: JSON}))
	var result scan.Result
	require.NoError(s, json.Unmarshal(found.Bytes(), &result))
	return result, text.String()
}

// install starts a webhook and a watcher, with a replica that serves the config.
func (s *site) install(text string) {
	table, err := config.Load("test", []byte(text))
	require.NoError(s, err)
	s.replica = status.Status{StartedAt: time.Unix(1, 0)}
	s.replica.Config.Digest = table.Digest()
	for _, service := range table.Services() {
		s.replica.Services = append(s.replica.Services, status.Service{
			Name: string(service.Name), OldHost: string(service.OldHost), PathPrefix: string(service.PathPrefix), Phase: status.Migrating,
		})
	}
	s.putConfigMap(names.ConfigMap, map[string]string{names.ConfigKey: text})
	s.putConfigMap(names.StateMap, nil)
	s.putReplica()
	s.startWatcher()
	s.startWebhook()
}

func (s *site) putConfigMap(name string, data map[string]string) {
	_, err := s.CoreV1().ConfigMaps(s.home).Create(s.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: data}, metav1.CreateOptions{})
	require.NoError(s, err)
}

func (s *site) putReplica() {
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: "migration-proxy-1", Labels: map[string]string{discoveryv1.LabelServiceName: names.ProxyService}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports: []discoveryv1.EndpointPort{
			{Name: new("http"), Port: new(int32(8000)), Protocol: new(corev1.ProtocolTCP)},
			{Name: new("status"), Port: new(int32(8080)), Protocol: new(corev1.ProtocolTCP)},
		},
		Endpoints: []discoveryv1.Endpoint{{
			Addresses: []string{"10.1.0.1"}, Conditions: discoveryv1.EndpointConditions{Ready: new(true)},
			TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: "proxy"},
		}},
	}
	_, err := s.DiscoveryV1().EndpointSlices(s.home).Create(s.Context(), slice, metav1.CreateOptions{})
	require.NoError(s, err)
}

func (s *site) startWatcher() {
	report, err := json.Marshal(s.replica)
	require.NoError(s, err)
	user, err := plane.User(webhook.User(s.home, names.Webhook), "system:masters")
	require.NoError(s, err)
	started, err := watcher.New(watcher.Options{
		Config: user, Namespace: s.home, Notice: 50 * time.Millisecond, AnchorSettle: 50 * time.Millisecond,
		GetStatus: func(context.Context, kube.Endpoint) ([]byte, error) { return report, nil }, Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(s, err)
	ctx, stop := context.WithCancel(s.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = started.Start(ctx) })
	s.Cleanup(func() { stop(); running.Wait() })
}

// startWebhook also waits until it knows that all services are served.
func (s *site) startWebhook() {
	ca, err := testbed.NewAuthority()
	require.NoError(s, err)
	certificate, err := ca.Server("127.0.0.1")
	require.NoError(s, err)
	port, err := testbed.FreePort()
	require.NoError(s, err)
	log := slog.New(slog.DiscardHandler)
	object := func(name string) kube.NamedConfigMap {
		return kube.NamedConfigMap{Client: s.Clientset, Namespace: s.home, Name: name, Log: log}
	}
	cache := webhook.NewConfigCache(object(names.ConfigMap), object(names.StateMap), log)
	admission := webhook.New(webhook.Options{Cache: cache, Services: s.CoreV1(), Log: log})
	address := fmt.Sprintf("127.0.0.1:%d", port)
	server := webhook.NewServer(webhook.ServerOptions{Address: address, TLS: &tls.Config{Certificates: []tls.Certificate{*certificate}}})
	admission.Register(server)
	ctx, stop := context.WithCancel(s.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = cache.Follow(ctx) })
	running.Go(func() { _ = server.Start(ctx) })
	s.Cleanup(func() { stop(); running.Wait() })
	s.register(address, ca.PEM())
	s.waitForWebhook()
}

func (s *site) register(address string, ca []byte) {
	mutating, _, err := controlplane.Webhooks(s.home)
	require.NoError(s, err)
	mutating.Name = s.home
	hook := &mutating.Webhooks[0]
	hook.FailurePolicy = new(admissionregistrationv1.Fail)
	hook.ClientConfig = admissionregistrationv1.WebhookClientConfig{URL: new("https://" + address + webhook.PathIngress), CABundle: ca}
	_, err = s.AdmissionregistrationV1().MutatingWebhookConfigurations().Create(s.Context(), mutating, metav1.CreateOptions{})
	require.NoError(s, err)
	s.Cleanup(func() {
		ctx := context.WithoutCancel(s.Context())
		require.NoError(s, s.AdmissionregistrationV1().MutatingWebhookConfigurations().Delete(ctx, s.home, metav1.DeleteOptions{}))
	})
}

// waitForWebhook waits until a dry run is answered with the state that the watcher has
// published.
func (s *site) waitForWebhook() {
	require.Eventually(s, func() bool {
		probe := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Name: "probe", Annotations: map[string]string{ingressgen.AnnotationEnabled: "true"}}}
		probe.Spec.Rules = []networkingv1.IngressRule{{Host: "h000.example.com"}}
		probe.Spec.Rules[0].HTTP = &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{one{path: "/", backend: "app:80"}.spec()}}
		answer, err := s.NetworkingV1().Ingresses(s.apps).Create(s.Context(), probe, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err == nil && answer.Annotations[ingressgen.AnnotationReason] == ingressgen.ReasonWaiting
	}, maxWait, 20*time.Millisecond)
	s.takeWarnings()
}

// optIn does what a user does, and compares what he is told.
func (s *site) optIn(ingress scan.Ingress) {
	s.takeWarnings()
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:"true"}}}`, ingressgen.AnnotationEnabled)
	after, err := s.NetworkingV1().Ingresses(ingress.Namespace).Patch(s.Context(), ingress.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	require.NoError(s, err)
	require.Equal(s, asPrinted(ingress.Warnings), s.takeWarnings(), ingress.Name)
	if ingress.Verdict == scan.Refused && !slices.ContainsFunc(ingress.Paths, func(p scan.Path) bool { return p.Verdict != scan.Refused }) {
		require.Equal(s, ingress.Reason, after.Annotations[ingressgen.AnnotationReason], ingress.Name)
	}
	if ingress.Verdict.Migrates() {
		require.Equal(s, ingressgen.ReasonWaiting, after.Annotations[ingressgen.AnnotationReason], ingress.Name)
	}
}

// asPrinted are the lines that admission makes of warnings: the API server takes 256
// bytes of each, and 4,096 of all.
func asPrinted(warnings []string) []string {
	var lines []string
	for i, warning := range warnings {
		if i == 15 {
			return append(lines, fmt.Sprintf("migration-proxy: and %d more warnings", len(warnings)-i))
		}
		lines = append(lines, excerpt.Of("migration-proxy: "+strings.Join(strings.Fields(warning), " "), 256))
	}
	return lines
}

// waitUntilDecided waits until the watcher has looked at each Ingress that admission has
// left to it, and gives all Ingresses by namespace and name.
func (s *site) waitUntilDecided() map[string]networkingv1.Ingress {
	found := map[string]networkingv1.Ingress{}
	require.Eventually(s, func() bool {
		waiting := 0
		for _, namespace := range []string{s.apps, s.other} {
			list, err := s.NetworkingV1().Ingresses(namespace).List(s.Context(), metav1.ListOptions{})
			require.NoError(s, err)
			for _, ingress := range list.Items {
				found[namespace+"/"+ingress.Name] = ingress
				if ingress.Annotations[ingressgen.AnnotationReason] == ingressgen.ReasonWaiting {
					waiting++
				}
			}
		}
		return waiting == 0
	}, maxWait, 100*time.Millisecond)
	return found
}

// requireVerdict compares where the paths of an Ingress point now with what scan said.
func (s *site) requireVerdict(said scan.Ingress, all map[string]networkingv1.Ingress) {
	found := all[said.Namespace+"/"+said.Name]
	var backends []string
	for _, rule := range found.Spec.Rules {
		for _, path := range rule.HTTP.Paths {
			backends = append(backends, nameOf(path.Backend))
		}
	}
	require.Len(s, backends, len(said.Paths))
	adjusted, canary := false, false
	for i, path := range said.Paths {
		want := path.Backend
		if path.Verdict.Migrates() && path.Mode == "proxy" {
			want = nameOf(networkingv1.IngressBackend{Service: proxyFor(path.Backend)})
		}
		adjusted = adjusted || path.Verdict == scan.Adjusted
		canary = canary || path.Verdict.Migrates() && path.Mode == "canary"
		require.Equal(s, want, backends[i], "%s %s%s: %s %v, and %s", said.Name, path.Host, path.Path, path.Verdict, path.Reasons, found.Annotations[ingressgen.AnnotationReason])
	}
	if adjusted {
		require.Contains(s, found.Annotations[ingressgen.AnnotationOriginal], `"annotations"`, said.Name)
	}
	_, companion := all[said.Namespace+"/"+ingressgen.CompanionName(said.Name)]
	require.Equal(s, canary, companion, "%s has a companion", said.Name)
}

func nameOf(backend networkingv1.IngressBackend) string {
	if backend.Service == nil {
		return ""
	}
	if backend.Service.Port.Name != "" {
		return backend.Service.Name + ":" + backend.Service.Port.Name
	}
	return fmt.Sprintf("%s:%d", backend.Service.Name, backend.Service.Port.Number)
}

// proxyFor is the backend of the proxy that takes the place of a user's.
func proxyFor(backend string) *networkingv1.IngressServiceBackend {
	old := *backendOf(backend).Service
	return &networkingv1.IngressServiceBackend{Name: ingressgen.ProxyService("", old, nil).Name, Port: old.Port}
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/cert"

	"github.com/migration-proxy/migration-proxy/certs"
	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/controlplane"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/webhook"
)

// How large the cluster is.
const (
	admittedServices  = 1000
	admittedIngresses = 5000 // in all namespaces together
	siteCount         = 4
)

// site is a namespace whose Ingresses pass one webhook, or none.
type site struct {
	name      string
	namespace string
	webhook   *child // nil: none
	url       string
	edits     bool // the webhook points Ingresses at the proxy
}

// sites are a cluster in which users write in several namespaces alike.
type sites struct {
	control   *controlplane.ControlPlane
	client    *kubernetes.Clientset
	namespace string // ours
	certDir   string
	ca        []byte
	// ready answers like ours, but with an edit that was made beforehand: what it
	// adds is the API server's work with such an answer.
	none, empty, ready, ours *site
}

func (w *sites) all() [siteCount]*site { return [...]*site{w.none, w.empty, w.ready, w.ours} }

func (w *sites) stop() {
	for _, one := range w.all() {
		if one.webhook != nil {
			one.webhook.stop()
		}
	}
	_ = w.control.Stop() // what is left is in a temporary folder
}

// startSites starts a control plane, fills it, starts the webhooks and
// waits until they are asked.
func (b *bed) startSites(ctx context.Context) (*sites, error) {
	control, err := startWithoutHTTP2(ctx)
	if err != nil {
		return nil, err
	}
	w := &sites{
		control: control,
		none:    &site{name: "no webhook"}, empty: &site{name: "an empty one"},
		ready: &site{name: "one with a ready-made edit", edits: true}, ours: &site{name: "ours", edits: true},
	}
	steps := []func(context.Context, *bed) error{
		w.open, w.certify, w.configure, w.fill, w.startRivals, w.startOurs, w.register, w.called,
	}
	for _, step := range steps {
		if err := step(ctx, b); err != nil {
			w.stop()
			return nil, err
		}
	}
	return w, nil
}

// startWithoutHTTP2: webhooks that are Services are asked by HTTP/1.1, but
// those on the loopback interface would be by HTTP/2.
func startWithoutHTTP2(ctx context.Context) (*controlplane.ControlPlane, error) {
	const variable = "DISABLE_HTTP2" // client-go reads it
	if err := os.Setenv(variable, "true"); err != nil {
		return nil, err
	}
	control, err := controlplane.Start(ctx, controlplane.Options{})
	return control, errors.Join(err, os.Unsetenv(variable))
}

func (w *sites) open(ctx context.Context, _ *bed) (err error) {
	config := w.control.Config()
	config.QPS = -1
	if w.client, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	if w.namespace, err = w.control.Namespace(ctx, "migration-proxy"); err != nil {
		return err
	}
	for _, one := range w.all() {
		if one.namespace, err = w.control.Namespace(ctx, "apps"); err != nil {
			return err
		}
	}
	return nil
}

// certify makes the certificate of all webhooks.
func (w *sites) certify(_ context.Context, b *bed) (err error) {
	if w.certDir, err = b.folder(); err != nil {
		return err
	}
	certificate, key, err := cert.GenerateSelfSignedCertKey("127.0.0.1", nil, certs.DNSNames(w.namespace))
	if err != nil {
		return fmt.Errorf("make a certificate: %w", err)
	}
	w.ca = certificate
	return errors.Join(os.WriteFile(filepath.Join(w.certDir, "tls.crt"), certificate, 0o600),
		os.WriteFile(filepath.Join(w.certDir, "tls.key"), key, 0o600))
}

func admittedHost(n int) string { return fmt.Sprintf("shop-%d.example.com", n%admittedServices) }

// configure writes a config of many services and a state in which all are
// served. Another replica holds the lease, as for one replica of two: the
// watcher would find no proxy that serves, and write so.
func (w *sites) configure(ctx context.Context, _ *bed) error {
	text, state := w.migrations()
	stateText, err := state.Text()
	if err != nil {
		return err
	}
	return errors.Join(w.configMap(ctx, names.ConfigMap, names.ConfigKey, text),
		w.configMap(ctx, names.StateMap, status.ClusterKey, stateText), w.lead(ctx))
}

func (w *sites) migrations() (text string, state status.Cluster) {
	var all strings.Builder
	all.WriteString("services:\n")
	state = status.Cluster{Services: map[string]status.ClusterService{}, Namespaces: []string{w.ours.namespace}}
	for n := range admittedServices {
		host := admittedHost(n)
		name := migration.Name(fmt.Sprintf("shop-%d", n))
		fmt.Fprintf(&all, "  - name: %s\n    old_host: %s\n    old_backend: web.%s.svc:80\n    new_host: new.%s\n"+
			"    new_backend: https://new.%s\n    migration: {enabled: true, percentage: 20}\n", name, host, w.ours.namespace, host, host)
		state.Services[string(name)] = status.ClusterService{Host: host, PathPrefix: "/", Phase: status.Migrating}
	}
	return all.String(), state
}

func (w *sites) configMap(ctx context.Context, name, key, text string) error {
	_, err := w.client.CoreV1().ConfigMaps(w.namespace).Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{key: text},
	}, metav1.CreateOptions{})
	return err
}

func (w *sites) lead(ctx context.Context) error {
	const term = 24 * time.Hour
	now := metav1.NowMicro()
	_, err := w.client.CoordinationV1().Leases(w.namespace).Create(ctx, &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: names.Lease},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity: new("another"), LeaseDurationSeconds: new(int32(term.Seconds())), AcquireTime: &now, RenewTime: &now,
		},
	}, metav1.CreateOptions{})
	return err
}

// fill creates the Ingresses, before there is a webhook.
func (w *sites) fill(ctx context.Context, _ *bed) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i := range admittedIngresses {
		one := w.all()[i%siteCount]
		group.Go(func() error {
			_, err := w.client.NetworkingV1().Ingresses(one.namespace).Create(ctx, admittedIngress(i/siteCount), metav1.CreateOptions{})
			return err
		})
	}
	return group.Wait()
}

// admittedIngress is an ordinary Ingress, opted in.
func admittedIngress(n int) *networkingv1.Ingress {
	web := networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: "web", Port: networkingv1.ServiceBackendPort{Number: 80}}}
	path := func(path string) networkingv1.HTTPIngressPath {
		return networkingv1.HTTPIngressPath{Path: path, PathType: new(networkingv1.PathTypePrefix), Backend: web}
	}
	rule := networkingv1.IngressRule{Host: admittedHost(n)}
	rule.HTTP = &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{path("/"), path("/static")}}
	return &networkingv1.Ingress{
		TypeMeta: metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "Ingress"},
		ObjectMeta: metav1.ObjectMeta{
			Name: ingressName(n), Labels: map[string]string{"app.kubernetes.io/name": "shop", "app.kubernetes.io/instance": "shop"},
			Annotations: map[string]string{
				ingressgen.AnnotationEnabled:                  "true",
				"cert-manager.io/cluster-issuer":              "letsencrypt",
				"nginx.ingress.kubernetes.io/proxy-body-size": "8m",
			},
		},
		Spec: networkingv1.IngressSpec{
			IngressClassName: new("nginx"), Rules: []networkingv1.IngressRule{rule},
			TLS: []networkingv1.IngressTLS{{Hosts: []string{rule.Host}, SecretName: "shop-tls"}},
		},
	}
}

func ingressName(n int) string { return "shop-" + strconv.Itoa(n) }

// startRivals: the one with the ready-made edit is the empty one with a flag.
func (w *sites) startRivals(ctx context.Context, b *bed) error {
	program := filepath.Join(b.dir, "emptywebhook")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", program, "./bench/rivals/emptywebhook")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the empty webhook: %w\n%s", err, output)
	}
	edit := filepath.Join(b.dir, "edit.json")
	if err := w.writeEdit(edit); err != nil {
		return err
	}
	rival := func(flags ...string) func(port int) *exec.Cmd {
		return func(port int) *exec.Cmd {
			flags = append(flags, "-port", strconv.Itoa(port), "-cert-dir", w.certDir, "-path", webhook.PathIngress)
			return exec.Command(program, flags...)
		}
	}
	return errors.Join(w.start(ctx, b, w.empty, rival()), w.start(ctx, b, w.ready, rival("-edit", edit, "-unless", ingressgen.AnnotationOriginal)))
}

// writeEdit writes what ours would answer for the first Ingress.
func (w *sites) writeEdit(file string) error {
	text, state := w.migrations()
	table, err := config.Load("bench", []byte(text))
	if err != nil {
		return err
	}
	ingress := admittedIngress(0)
	ingress.Namespace = w.ours.namespace
	edit, err := json.Marshal(ingressgen.Rewrite(ingress, ingressgen.View{Table: table, State: state}).Edits)
	return errors.Join(err, os.WriteFile(file, edit, 0o600))
}

func (w *sites) startOurs(ctx context.Context, b *bed) error {
	http, err := testbed.FreePort()
	if err != nil {
		return err
	}
	return w.start(ctx, b, w.ours, func(port int) *exec.Cmd {
		cmd := exec.Command(b.proxy, "webhook", "--namespace", w.namespace, "--cert-dir", w.certDir,
			"--listen", loopback(port), "--http", loopback(http), "--drain", "0s")
		cmd.Env = append(os.Environ(), "KUBECONFIG="+w.control.Kubeconfig())
		return cmd
	})
}

func (w *sites) start(ctx context.Context, b *bed, one *site, command func(port int) *exec.Cmd) error {
	port, err := testbed.FreePort()
	if err != nil {
		return err
	}
	dir, err := b.folder()
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the child has its own
	cmd := command(port)
	cmd.Stdout, cmd.Stderr = log, log
	if one.webhook, err = launch(cmd, anywhere); err != nil {
		return err
	}
	one.url = "https://" + loopback(port) + webhook.PathIngress
	return one.webhook.awaitPort(ctx, port, log.Name())
}

// register makes the API server ask ours as the chart does, but at an address,
// and the others for the same writes; the empty one without our conditions:
// what the API server takes to evaluate them is ours too. All come in one
// object: who sees one, sees the others.
func (w *sites) register(ctx context.Context, _ *bed) error {
	configuration, _ := webhook.Configurations(webhook.Install{Namespace: w.namespace})
	ours := &configuration.Webhooks[0]
	empty, ready := ours.DeepCopy(), ours.DeepCopy()
	empty.Name, empty.MatchConditions = "empty.example.com", nil
	ready.Name = "ready.example.com"
	configuration.Webhooks = []admissionregistrationv1.MutatingWebhook{w.at(*ours, w.ours), w.at(*empty, w.empty), w.at(*ready, w.ready)}
	_, err := w.client.AdmissionregistrationV1().MutatingWebhookConfigurations().Create(ctx, configuration, metav1.CreateOptions{})
	return err
}

func (w *sites) at(hook admissionregistrationv1.MutatingWebhook, one *site) admissionregistrationv1.MutatingWebhook {
	hook.ClientConfig = admissionregistrationv1.WebhookClientConfig{URL: &one.url, CABundle: w.ca}
	// A failure must show, and a slow answer counts.
	hook.FailurePolicy, hook.TimeoutSeconds = new(admissionregistrationv1.Fail), new(int32(10))
	expressions := slices.Clone(hook.NamespaceSelector.MatchExpressions)
	hook.NamespaceSelector = &metav1.LabelSelector{MatchExpressions: append(expressions, metav1.LabelSelectorRequirement{
		Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpIn, Values: []string{one.namespace},
	})}
	return hook
}

// called waits until an Ingress is rewritten.
func (w *sites) called(ctx context.Context, _ *bed) error {
	return poll(ctx, 30*time.Second, func() error {
		return writes[0].do(ctx, w, w.ours, 0)
	})
}

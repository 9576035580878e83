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

// The size of the cluster.
const (
	admittedServices  = 1000
	admittedIngresses = 5000 // in all namespaces otherCPUs
	groupCount        = 4
)

// group is a namespace whose Ingresses pass one webhook, or none.
type group struct {
	name      string
	namespace string
	webhook   *process // nil: no webhook
	url       string
	edits     bool // the webhook writes the phase into Ingresses
}

// admissionCluster is a control plane with the groups that are compared.
type admissionCluster struct {
	control   *controlplane.ControlPlane
	client    *kubernetes.Clientset
	namespace string // of migration-proxy
	certDir   string
	ca        []byte
	// ready answers with the same edit as ours, prepared in advance: what it adds
	// is the work that the API server has with such an answer.
	none, empty, ready, ours *group
}

func (c *admissionCluster) all() [groupCount]*group {
	return [...]*group{c.none, c.empty, c.ready, c.ours}
}

func (c *admissionCluster) stop() {
	for _, g := range c.all() {
		if g.webhook != nil {
			g.webhook.stop()
		}
	}
	_ = c.control.Stop() // all its files are in a temporary folder
}

// startAdmissionCluster starts a control plane, creates the objects, starts the
// webhooks and waits until the API server calls ours.
func (h *harness) startAdmissionCluster(ctx context.Context) (*admissionCluster, error) {
	control, err := startWithoutHTTP2(ctx)
	if err != nil {
		return nil, err
	}
	c := &admissionCluster{
		control: control,
		none:    &group{name: "no webhook"}, empty: &group{name: "an empty one"},
		ready: &group{name: "one with a ready-made edit", edits: true}, ours: &group{name: "ours", edits: true},
	}
	steps := []func(context.Context, *harness) error{
		c.connect, c.createCertificate, c.createConfig, c.createIngresses, c.startBaselines, c.startOurs, c.register, c.waitForWebhook,
	}
	for _, step := range steps {
		if err := step(ctx, h); err != nil {
			c.stop()
			return nil, err
		}
	}
	return c, nil
}

// startWithoutHTTP2 starts a control plane that calls webhooks by HTTP/1.1. It
// does so for webhooks that are Services, but would call those on the loopback
// interface by HTTP/2.
func startWithoutHTTP2(ctx context.Context) (*controlplane.ControlPlane, error) {
	const variable = "DISABLE_HTTP2" // client-go reads it
	if err := os.Setenv(variable, "true"); err != nil {
		return nil, err
	}
	control, err := controlplane.Start(ctx, controlplane.Options{})
	return control, errors.Join(err, os.Unsetenv(variable))
}

func (c *admissionCluster) connect(ctx context.Context, _ *harness) (err error) {
	config := c.control.Config()
	config.QPS = -1
	if c.client, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	if c.namespace, err = c.control.Namespace(ctx, "migration-proxy"); err != nil {
		return err
	}
	for _, g := range c.all() {
		if g.namespace, err = c.control.Namespace(ctx, "apps"); err != nil {
			return err
		}
	}
	return nil
}

// createCertificate makes the certificate that all webhooks share.
func (c *admissionCluster) createCertificate(_ context.Context, h *harness) (err error) {
	if c.certDir, err = h.folder(); err != nil {
		return err
	}
	certificate, key, err := cert.GenerateSelfSignedCertKey("127.0.0.1", nil, []string{certs.DNSName(c.namespace)})
	if err != nil {
		return fmt.Errorf("make a certificate: %w", err)
	}
	c.ca = certificate
	return errors.Join(os.WriteFile(filepath.Join(c.certDir, "tls.crt"), certificate, 0o600),
		os.WriteFile(filepath.Join(c.certDir, "tls.key"), key, 0o600))
}

func admittedHost(n int) string { return fmt.Sprintf("shop-%d.example.com", n%admittedServices) }

// createConfig writes a config of many services and a state in which all are
// Migrating. Another replica holds the lease, so that our watcher does not run: it
// would find no proxy and change the state.
func (c *admissionCluster) createConfig(ctx context.Context, _ *harness) error {
	text, state := c.migrations()
	stateText, err := state.Text()
	if err != nil {
		return err
	}
	return errors.Join(c.createConfigMap(ctx, names.ConfigMap, names.ConfigKey, text),
		c.createConfigMap(ctx, names.StateMap, status.ClusterKey, stateText), c.createLease(ctx))
}

func (c *admissionCluster) migrations() (text string, state status.Cluster) {
	var all strings.Builder
	all.WriteString("services:\n")
	state = status.Cluster{Services: map[string]status.ClusterService{}}
	for n := range admittedServices {
		host := admittedHost(n)
		name := migration.Name(fmt.Sprintf("shop-%d", n))
		fmt.Fprintf(&all, "  - name: %s\n    old_host: %s\n    old_backend: web.%s.svc:80\n    new_host: new.%s\n"+
			"    new_backend: https://new.%s\n    migration: {enabled: true, percentage: 20}\n", name, host, c.ours.namespace, host, host)
		state.Services[string(name)] = status.ClusterService{Host: host, PathPrefix: "/", Phase: status.Migrating}
	}
	return all.String(), state
}

func (c *admissionCluster) createConfigMap(ctx context.Context, name, key, text string) error {
	_, err := c.client.CoreV1().ConfigMaps(c.namespace).Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{key: text},
	}, metav1.CreateOptions{})
	return err
}

func (c *admissionCluster) createLease(ctx context.Context) error {
	const term = 24 * time.Hour
	now := metav1.NowMicro()
	_, err := c.client.CoordinationV1().Leases(c.namespace).Create(ctx, &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: names.Lease},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity: new("another"), LeaseDurationSeconds: new(int32(term.Seconds())), AcquireTime: &now, RenewTime: &now,
		},
	}, metav1.CreateOptions{})
	return err
}

// createIngresses creates the Ingresses, before there is a webhook.
func (c *admissionCluster) createIngresses(ctx context.Context, _ *harness) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i := range admittedIngresses {
		namespace := c.all()[i%groupCount].namespace
		group.Go(func() error {
			_, err := c.client.NetworkingV1().Ingresses(namespace).Create(ctx, admittedIngress(i/groupCount), metav1.CreateOptions{})
			return err
		})
	}
	return group.Wait()
}

// admittedIngress is an ordinary Ingress that has opted in.
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

// startBaselines starts the empty webhook, and the same program with flags as the
// webhook with the prepared edit.
func (c *admissionCluster) startBaselines(ctx context.Context, h *harness) error {
	program := filepath.Join(h.dir, "emptywebhook")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", program, "./bench/baseline/emptywebhook")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the empty webhook: %w\n%s", err, output)
	}
	edit := filepath.Join(h.dir, "edit.json")
	if err := c.writeEdit(edit); err != nil {
		return err
	}
	command := func(flags ...string) func(port int) *exec.Cmd {
		return func(port int) *exec.Cmd {
			flags = append(flags, "-port", strconv.Itoa(port), "-cert-dir", c.certDir, "-path", webhook.PathIngress)
			return exec.Command(program, flags...)
		}
	}
	return errors.Join(c.start(ctx, h, c.empty, command()),
		c.start(ctx, h, c.ready, command("-edit", edit, "-unless", ingressgen.AnnotationPhase)))
}

// writeEdit writes the edit that ours would answer for the first Ingress.
func (c *admissionCluster) writeEdit(file string) error {
	text, state := c.migrations()
	table, err := config.Load("bench", []byte(text))
	if err != nil {
		return err
	}
	ingress := admittedIngress(0)
	ingress.Namespace = c.ours.namespace
	edit, err := json.Marshal(ingressgen.Rewrite(ingress, ingressgen.View{Table: table, State: state, Admission: &ingressgen.Admission{}}).Edits)
	return errors.Join(err, os.WriteFile(file, edit, 0o600))
}

func (c *admissionCluster) startOurs(ctx context.Context, h *harness) error {
	http, err := testbed.FreePort()
	if err != nil {
		return err
	}
	return c.start(ctx, h, c.ours, func(port int) *exec.Cmd {
		cmd := exec.Command(h.proxy, "webhook", "--namespace", c.namespace, "--cert-dir", c.certDir,
			"--listen", loopback(port), "--http", loopback(http), "--drain", "0s")
		cmd.Env = append(os.Environ(), "KUBECONFIG="+c.control.Kubeconfig())
		return cmd
	})
}

func (c *admissionCluster) start(ctx context.Context, h *harness, g *group, command func(port int) *exec.Cmd) error {
	port, err := testbed.FreePort()
	if err != nil {
		return err
	}
	dir, err := h.folder()
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the process has its own descriptor
	cmd := command(port)
	cmd.Stdout, cmd.Stderr = log, log
	if g.webhook, err = startProcess(cmd, anyCPU); err != nil {
		return err
	}
	g.url = "https://" + loopback(port) + webhook.PathIngress
	return g.webhook.waitForPort(ctx, port, log.Name())
}

// register makes the API server call our webhook as the chart does, but at an
// address, and the others for the same writes. The empty one has none of our match
// conditions, because the time to evaluate them counts as ours. All are in one
// object, so that the API server sees them at the same time.
func (c *admissionCluster) register(ctx context.Context, _ *harness) error {
	configuration, _, err := controlplane.Webhooks(c.namespace)
	if err != nil {
		return err
	}
	ours := &configuration.Webhooks[0]
	empty, ready := ours.DeepCopy(), ours.DeepCopy()
	empty.Name, empty.MatchConditions = "empty.example.com", nil
	ready.Name = "ready.example.com"
	configuration.Webhooks = []admissionregistrationv1.MutatingWebhook{c.at(*ours, c.ours), c.at(*empty, c.empty), c.at(*ready, c.ready)}
	_, err = c.client.AdmissionregistrationV1().MutatingWebhookConfigurations().Create(ctx, configuration, metav1.CreateOptions{})
	return err
}

func (c *admissionCluster) at(hook admissionregistrationv1.MutatingWebhook, g *group) admissionregistrationv1.MutatingWebhook {
	hook.ClientConfig = admissionregistrationv1.WebhookClientConfig{URL: &g.url, CABundle: c.ca}
	// A failed call must be an error, and a slow answer must be measured.
	hook.FailurePolicy, hook.TimeoutSeconds = new(admissionregistrationv1.Fail), new(int32(10))
	expressions := slices.Clone(hook.NamespaceSelector.MatchExpressions)
	hook.NamespaceSelector = &metav1.LabelSelector{MatchExpressions: append(expressions, metav1.LabelSelectorRequirement{
		Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpIn, Values: []string{g.namespace},
	})}
	return hook
}

// waitForWebhook waits until our webhook rewrites an Ingress.
func (c *admissionCluster) waitForWebhook(ctx context.Context, _ *harness) error {
	return poll(ctx, 30*time.Second, func() error {
		return writes[0].do(ctx, c, c.ours, 0)
	})
}

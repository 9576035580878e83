package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/migration-proxy/migration-proxy/certs"
	"github.com/migration-proxy/migration-proxy/internal/controlplane"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/migration-proxy/migration-proxy/webhook"
)

// webhookProcess is `migration-proxy webhook` against a real API server.
type webhookProcess struct {
	command      *exec.Cmd
	listen, http string
	certDir      string
	namespace    string
	api          *kubernetes.Clientset
	admission    *http.Client // trusts the certificate
	output       *testbed.Log
}

// drain is long enough for a busy machine to see that the process is draining.
const drain = 3 * time.Second

func newWebhookProcess(t *testing.T, plane *controlplane.ControlPlane) *webhookProcess {
	t.Helper()
	p := &webhookProcess{output: &testbed.Log{}, certDir: t.TempDir()}
	var err error
	p.namespace, err = plane.Namespace(t.Context(), "mp")
	require.NoError(t, err)
	p.api, err = kubernetes.NewForConfig(plane.Config())
	require.NoError(t, err)
	for _, address := range []*string{&p.listen, &p.http} {
		port, err := testbed.FreePort()
		require.NoError(t, err)
		*address = fmt.Sprintf("127.0.0.1:%d", port)
	}
	p.command = exec.Command("migration-proxy", "webhook", "--listen", p.listen, "--http", p.http,
		"--cert-dir", p.certDir, "--namespace", p.namespace, "--drain", drain.String())
	p.command.Env = append(os.Environ(), "KUBECONFIG="+plane.Kubeconfig())
	p.command.Stderr, p.command.Stdout = p.output, p.output
	return p
}

// start starts the process without a certificate, and then writes one.
func (p *webhookProcess) start(t *testing.T) {
	t.Helper()
	require.NoError(t, p.command.Start())
	t.Cleanup(func() { _ = p.command.Process.Kill() })
	p.awaitReady(t, "no certificate")
	p.admission = writeCertificate(t, p.certDir, certs.DNSName(p.namespace))
}

// awaitReady waits until the answer of /ready contains the text.
func (p *webhookProcess) awaitReady(t *testing.T, text string) {
	t.Helper()
	p.eventually(t, "/ready has "+text, func() bool { return strings.Contains(p.get("/ready"), text) })
}

const isReady = `"ready": true`

// writeCertificate makes a certificate, and returns a client that trusts only this
// certificate.
func writeCertificate(t *testing.T, dir, name string) *http.Client {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tls.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tls.crt"), certificate, 0o600))
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(certificate))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: name}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 5 * time.Second}
}

func (p *webhookProcess) eventually(t *testing.T, description string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !condition(); time.Sleep(20 * time.Millisecond) {
		require.True(t, time.Now().Before(deadline), "%s: not within 30 s\n%s", description, p.output)
	}
}

// get returns the body of the HTTP API's response, or the error as text.
func (p *webhookProcess) get(path string) string {
	response, err := http.Get("http://" + p.http + path)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	text, _ := io.ReadAll(response.Body)
	return string(text)
}

// admit sends an opted-in Ingress. The error is nil if it was allowed.
func (p *webhookProcess) admit() error {
	const review = `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"1","operation":"CREATE","namespace":"shop",` +
		`"object":{"metadata":{"name":"api","annotations":{"migration-proxy.io/enabled":"true"}}}}}`
	response, err := p.admission.Post("https://"+p.listen+webhook.PathIngress, "application/json", strings.NewReader(review))
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if !bytes.Contains(text, []byte(`"allowed":true`)) {
		return fmt.Errorf("not allowed: %s, %w", text, err)
	}
	return err
}

func (p *webhookProcess) holder(t *testing.T) string {
	t.Helper()
	lease, err := p.api.CoordinationV1().Leases(p.namespace).Get(context.WithoutCancel(t.Context()), names.Lease, metav1.GetOptions{})
	if err != nil || lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *lease.Spec.HolderIdentity
}

// TestWebhook: the process waits for its certificate, answers admission, and
// becomes the leader. On SIGTERM it releases the lease at once, says that it is
// not ready, answers admission until the drain time is over, and then ends with
// exit code 0.
func TestWebhook(t *testing.T) {
	t.Parallel()
	plane, err := controlplane.Start(t.Context(), controlplane.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, plane.Stop()) })
	p := newWebhookProcess(t, plane)
	p.start(t)
	p.awaitReady(t, isReady)
	require.NoError(t, p.admit())
	p.eventually(t, "is the leader", func() bool { return strings.Contains(p.get("/metrics"), "migration_proxy_watcher_leader 1") })
	require.NotEmpty(t, p.holder(t))
	metrics := p.get("/metrics")
	for _, name := range []string{
		"migration_proxy_admission_requests_total{", "migration_proxy_admission_duration_seconds_bucket{",
		"migration_proxy_certificate_expiry_timestamp_seconds ", "go_goroutines ",
	} {
		require.Contains(t, metrics, name)
	}
	require.Contains(t, p.get("/health"), `"alive": true`)

	ended := make(chan error, 1)
	go func() { ended <- p.command.Wait() }()
	begin := time.Now()
	require.NoError(t, p.command.Process.Signal(syscall.SIGTERM))
	p.awaitReady(t, "shutting down")
	for { // until it answers no more
		if err := p.admit(); err != nil {
			require.GreaterOrEqual(t, time.Since(begin), drain, "answers in the drain time: %v", err)
			break
		}
	}
	p.eventually(t, "the lease is released", func() bool { return p.holder(t) == "" })
	require.NoError(t, <-ended, p.output)
	for _, line := range strings.Split(strings.TrimSpace(p.output.String()), "\n") {
		require.Regexp(t, `^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d - [a-z_-]+ - (INFO|WARNING) - `, line)
	}
}

// othersLead gives the lease to somebody else: a leader ends when it cannot renew its lease
// for ten seconds, and on a busy machine the API server starts for longer.
func (p *webhookProcess) othersLead(t *testing.T) {
	t.Helper()
	now := metav1.NowMicro()
	_, err := p.api.CoordinationV1().Leases(p.namespace).Create(t.Context(), &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: names.Lease},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity: new("another"), LeaseDurationSeconds: new(int32(3600)), AcquireTime: &now, RenewTime: &now, LeaseTransitions: new(int32(0)),
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
}

// TestWebhookWithoutAPIServer: a process that starts while the API server is
// away is not ready until the API server answers, and stays ready when the API
// server goes away again.
func TestWebhookWithoutAPIServer(t *testing.T) {
	t.Parallel()
	plane, err := controlplane.Start(t.Context(), controlplane.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, plane.Stop()) })
	p := newWebhookProcess(t, plane)
	p.othersLead(t)
	require.NoError(t, plane.StopAPIServer())
	p.start(t)
	p.awaitReady(t, "the API server has not answered yet")
	require.NoError(t, plane.StartAPIServer(t.Context()))
	p.awaitReady(t, isReady)
	require.NoError(t, plane.StopAPIServer())
	require.Contains(t, p.get("/ready"), isReady)
	require.NoError(t, p.admit())
	require.NoError(t, plane.StartAPIServer(t.Context()))
	_, err = p.api.CoreV1().ConfigMaps(p.namespace).Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: names.ConfigMap}, Data: map[string]string{names.ConfigKey: "services: 1"},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	p.eventually(t, "the config is seen", func() bool { return strings.Contains(p.output.String(), "migration config is invalid") })
}

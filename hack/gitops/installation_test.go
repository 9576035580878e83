package gitops

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/client-go/kubernetes"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/controlplane"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/migration-proxy/migration-proxy/watcher"
	"github.com/migration-proxy/migration-proxy/webhook"
)

const home = "migration-proxy" // the proxy's namespace

// objects are what an installation has: the Services of the users, one endpoint of the
// proxy, and the two ConfigMaps.
const objects = `
{apiVersion: v1, kind: Namespace, metadata: {name: migration-proxy}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
{apiVersion: v1, kind: Service, metadata: {name: old, namespace: shop}, spec: {ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: web2, namespace: shop}, spec: {ports: [{port: 8080}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: renamed, namespace: shop}, spec: {ports: [{port: 8081}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: migration-proxy-1, namespace: migration-proxy, labels: {kubernetes.io/service-name: migration-proxy}}
addressType: IPv4
ports: [{name: http, port: 8000}, {name: new, port: 8001}, {name: status, port: 8080}]
endpoints: [{addresses: [10.1.0.1], conditions: {ready: true}, targetRef: {kind: Pod, name: proxy-1}}]
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: migration-state, namespace: migration-proxy}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: migration-config, namespace: migration-proxy}
data:
  migration.yaml: |
`

const configText = `services:
- {name: app, old_host: app.example.com, old_backend: 'old.shop.svc:80', new_host: n.example, new_backend: 'n.example:443', migration: {enabled: true, percentage: 20}}
- {name: second, old_host: second.example.com, old_backend: 'web2.shop.svc:8080', new_host: n.example, new_backend: 'n.example:443', migration: {enabled: true, percentage: 20}}
`

// TestMain starts the control plane.
func TestMain(m *testing.M) {
	ctrllog.SetLogger(logr.Discard())
	os.Exit(controlplane.Main(m, controlplane.Options{}, &plane))
}

var plane *controlplane.ControlPlane

// install runs the webhook and the watcher, until the test ends.
func install(t *testing.T) {
	t.Helper()
	kubectl(t, objects+"    "+strings.ReplaceAll(configText, "\n", "\n    "), "apply", "-f", "-")
	account, err := plane.User(webhook.User(home, names.Webhook), "system:masters")
	require.NoError(t, err)
	account.QPS = -1
	client, err := kubernetes.NewForConfig(account)
	require.NoError(t, err)
	w, err := watcher.New(watcher.Options{
		Config: account, Namespace: home, GetStatus: proxyStatus(t), Log: slog.New(slog.DiscardHandler),
		Linger: 300 * time.Millisecond, Notice: 100 * time.Millisecond,
	})
	require.NoError(t, err)
	go func() { _ = w.Start(t.Context()) }()
	serve(t, client)
}

// serve runs the webhook and registers it.
func serve(t *testing.T, client kubernetes.Interface) {
	t.Helper()
	object := func(name string) kube.NamedConfigMap {
		return kube.NamedConfigMap{Client: client, Namespace: home, Name: name, Log: slog.New(slog.DiscardHandler)}
	}
	cache := webhook.NewConfigCache(object(names.ConfigMap), object(names.StateMap), slog.New(slog.DiscardHandler))
	go func() { _ = cache.Follow(t.Context()) }()
	admission := webhook.New(webhook.Options{
		Cache: cache, Services: client.CoreV1(), Self: webhook.User(home, names.Webhook), Log: slog.New(slog.DiscardHandler),
	})
	port, err := testbed.FreePort()
	require.NoError(t, err)
	pair, ca := selfSigned(t)
	server := ctrlwebhook.NewServer(ctrlwebhook.Options{Host: "127.0.0.1", Port: port, TLSOpts: []func(*tls.Config){
		func(c *tls.Config) {
			c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair, nil }
		},
	}})
	admission.Register(server)
	go func() { _ = server.Start(t.Context()) }()
	require.Eventually(t, func() bool { return server.StartedChecker()(nil) == nil && cache.Synced() == nil }, time.Minute, 10*time.Millisecond)
	register(t, fmt.Sprintf("https://127.0.0.1:%d", port), ca)
}

// register applies the configuration for Ingresses, with a URL in place of the Service.
func register(t *testing.T, url string, ca []byte) {
	t.Helper()
	mutating, _, err := controlplane.Webhooks(home)
	require.NoError(t, err)
	for i := range mutating.Webhooks {
		path := mutating.Webhooks[i].ClientConfig.Service.Path
		mutating.Webhooks[i].ClientConfig = admissionregistrationv1.WebhookClientConfig{URL: new(url + *path), CABundle: ca}
	}
	text, err := json.Marshal(mutating)
	require.NoError(t, err)
	kubectl(t, string(text), "apply", "-f", "-")
}

func selfSigned(t *testing.T) (*tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// proxyStatus is the answer of the one proxy: it serves the config.
func proxyStatus(t *testing.T) kube.StatusGetter {
	t.Helper()
	table, err := config.Load("test", []byte(configText))
	require.NoError(t, err)
	now := status.Status{StartedAt: time.Unix(1, 0), Config: status.Config{Digest: table.Digest()}}
	for _, service := range table.Services() {
		now.Services = append(now.Services, status.Service{
			Name: string(service.Name), OldHost: string(service.OldHost), PathPrefix: string(service.PathPrefix), Phase: status.Migrating,
		})
	}
	text, err := json.Marshal(now)
	require.NoError(t, err)
	return func(context.Context, kube.Endpoint) ([]byte, error) { return text, nil }
}

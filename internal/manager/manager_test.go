package manager

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/migration-proxy/migration-proxy/certs"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/listen"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// offline are options for an API server that nobody runs.
func offline(t *testing.T) Options {
	t.Helper()
	options := Options{
		Cluster: &kube.Cluster{Config: &rest.Config{Host: "https://127.0.0.1:1"}, Namespace: "migration-proxy"},
		CertDir: t.TempDir(), LeaderElect: true, Log: slog.New(slog.DiscardHandler),
	}
	var err error
	options.Cluster.Interface, err = kubernetes.NewForConfig(options.Cluster.Config)
	require.NoError(t, err)
	for _, address := range []*listen.Address{&options.Listen, &options.HTTP} {
		port, err := testbed.FreePort()
		require.NoError(t, err)
		require.NoError(t, address.Set(fmt.Sprintf("127.0.0.1:%d", port)))
	}
	return options
}

// TestRunWithoutAPIServer: the process starts, says what is missing, and ends
// without an error.
func TestRunWithoutAPIServer(t *testing.T) {
	t.Parallel()
	m, err := newManager(offline(t))
	require.NoError(t, err)
	require.ErrorContains(t, m.ready(), "not read yet")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.run(ctx) }()
	require.Eventually(t, func() bool {
		response, err := http.Get("http://" + m.options.HTTP.String() + "/ready")
		if err != nil {
			return false
		}
		return response.Body.Close() == nil && response.StatusCode == http.StatusServiceUnavailable
	}, 20*time.Second, 20*time.Millisecond)
	require.ErrorContains(t, m.ready(), "no certificate")
	cancel()
	require.NoError(t, <-ended)
	require.ErrorContains(t, m.ready(), "shutting down")
}

func TestNewManagerRefusesAPortInUse(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	for flag, set := range map[string]func(*Options) error{
		"listen": func(o *Options) error { return o.Listen.Set(server.Listener.Addr().String()) },
		"http":   func(o *Options) error { return o.HTTP.Set(server.Listener.Addr().String()) },
	} {
		options := offline(t)
		require.NoError(t, set(&options))
		_, err := newManager(options)
		require.ErrorContains(t, err, "choose another with --"+flag+" or $MIGRATION_PROXY_")
	}
}

func TestNewManagerRefusesOnePortForTwo(t *testing.T) {
	t.Parallel()
	options := offline(t)
	options.HTTP = options.Listen
	_, err := newManager(options)
	require.ErrorContains(t, err, "have the same port; choose another with --http")
}

// TestClientCA: with it only clients that have a certificate of it are answered.
func TestClientCA(t *testing.T) {
	t.Parallel()
	ca, err := testbed.NewAuthority()
	require.NoError(t, err)
	certificate, err := ca.Server("127.0.0.1")
	require.NoError(t, err)
	client, err := ca.Client("kube-apiserver")
	require.NoError(t, err)
	dir := t.TempDir()
	m := &manager{options: offline(t)}
	m.options.ClientCAFile = filepath.Join(dir, "missing.crt")
	_, err = m.tlsConfig()
	require.ErrorContains(t, err, "missing.crt")
	m.options.ClientCAFile = filepath.Join(dir, "empty.crt")
	require.NoError(t, os.WriteFile(m.options.ClientCAFile, nil, 0o600))
	_, err = m.tlsConfig()
	require.ErrorContains(t, err, "has no CA certificate in PEM")

	require.NoError(t, os.WriteFile(m.options.ClientCAFile, ca.PEM(), 0o600))
	m.certificate = certs.New(dir, "migration-proxy", m.log)
	config, err := m.tlsConfig()
	require.NoError(t, err)
	config.Certificates = []tls.Certificate{*certificate}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.TLS = config
	server.StartTLS()
	defer server.Close()
	get := func(certificates ...tls.Certificate) error {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool(), Certificates: certificates}}
		defer transport.CloseIdleConnections()
		response, err := (&http.Client{Transport: transport}).Get(server.URL)
		if err != nil {
			return err
		}
		return response.Body.Close()
	}
	require.NoError(t, get(*client))
	require.ErrorContains(t, get(), "certificate required")
}

package manager

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	ctrlmanager "sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/migration-proxy/migration-proxy/certs"
	"github.com/migration-proxy/migration-proxy/internal/httpapi"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/listen"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/watcher"
	"github.com/migration-proxy/migration-proxy/webhook"
)

// Options are the parts of a manager that the command line chooses.
type Options struct {
	Cluster *kube.Cluster
	Listen  listen.Address // the webhooks
	HTTP    listen.Address // the HTTP API
	CertDir string         // has tls.crt and tls.key
	// ClientCAFile has the CA certificates, in PEM, of the clients that are answered; ""
	// for all clients.
	ClientCAFile string
	User         string        // the watcher's user name at the API server; "" is the service account's
	LeaderElect  bool          // false: this replica always runs the watcher
	Drain        time.Duration // how long the webhooks answer after SIGTERM
	// CanaryControllers know canary annotations as ingress-nginx does.
	CanaryControllers []string
	// AnchorControllers and AnchorSettle are those of watcher.Options.
	AnchorControllers []string
	AnchorSettle      time.Duration
	Log               *slog.Logger
}

// manager holds the parts of the process.
type manager struct {
	options     Options
	log         *slog.Logger
	certificate *certs.Reloader
	configCache *webhook.ConfigCache
	notes       *webhook.NoteWriter
	admission   *webhook.Admission
	server      *webhook.Server
	watcher     *watcher.Watcher
	leader      ctrlmanager.Manager // runs the watcher while it holds the lease
	api         *httpapi.Server
	listener    net.Listener
	draining    atomic.Bool
}

// newManager takes all steps that can fail for good. It sends nothing to the
// API server, which may be away at the start.
func newManager(options Options) (*manager, error) {
	m := &manager{options: options, log: options.Log}
	for _, step := range []func() error{
		m.checkPort,
		m.prepareAdmission,
		m.prepareWatcher,
		m.prepareLeader,
		m.listenHTTP,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *manager) checkPort() error {
	o := &m.options
	if err := listen.Distinct(listen.Flag{Name: "listen", Address: o.Listen}, listen.Flag{Name: "http", Address: o.HTTP}); err != nil {
		return err
	}
	return listen.Check(o.Listen, "listen")
}

func (m *manager) prepareAdmission() error {
	cluster := m.options.Cluster
	m.certificate = certs.New(m.options.CertDir, cluster.Namespace, m.log)
	m.configCache = webhook.NewConfigCache(cluster.ConfigMap(names.ConfigMap, m.log), cluster.ConfigMap(names.StateMap, m.log), m.log)
	m.notes = webhook.NewNoteWriter(cluster.ConfigMap(names.AuditMap, m.log))
	m.admission = webhook.New(webhook.Options{Cache: m.configCache, Services: cluster.CoreV1(), Self: m.user(), Notes: m.notes, Log: m.log})
	config, err := m.tlsConfig()
	if err != nil {
		return err
	}
	m.server = webhook.NewServer(webhook.ServerOptions{Address: m.options.Listen.String(), TLS: config})
	m.admission.Register(m.server)
	return nil
}

// user is the name that the API server knows the watcher by.
func (m *manager) user() string {
	if m.options.User != "" {
		return m.options.User
	}
	return webhook.User(m.options.Cluster.Namespace, names.Webhook)
}

func (m *manager) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: m.certificate.GetCertificate}
	if m.options.ClientCAFile == "" {
		return config, nil
	}
	text, err := os.ReadFile(m.options.ClientCAFile)
	if err != nil {
		return nil, fmt.Errorf("read the CA of the clients: %w", err)
	}
	config.ClientCAs, config.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
	if !config.ClientCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s has no CA certificate in PEM; --client-ca-file names a file that has", m.options.ClientCAFile)
	}
	return config, nil
}

func (m *manager) prepareWatcher() (err error) {
	m.watcher, err = watcher.New(watcher.Options{
		Config: m.options.Cluster.Config, Namespace: m.options.Cluster.Namespace, Log: m.log,
		CanaryControllers: m.options.CanaryControllers, AnchorControllers: m.options.AnchorControllers, AnchorSettle: m.options.AnchorSettle,
	})
	return err
}

// prepareLeader makes the controller-runtime manager, which holds the lease,
// releases it when it ends, and runs nothing but the watcher.
func (m *manager) prepareLeader() (err error) {
	m.leader, err = ctrlmanager.New(m.options.Cluster.Config, ctrlmanager.Options{
		LeaderElection:                m.options.LeaderElect,
		LeaderElectionID:              names.Lease,
		LeaderElectionNamespace:       m.options.Cluster.Namespace,
		LeaderElectionReleaseOnCancel: true,
		Metrics:                       metricsserver.Options{BindAddress: "0"},   // the HTTP API has the metrics
		Logger:                        logr.FromSlogHandler(slog.DiscardHandler), // its errors are returned and logged here
	})
	if err != nil {
		return fmt.Errorf("prepare the watcher: %w", err)
	}
	return m.leader.Add(m.watcher)
}

func (m *manager) listenHTTP() (err error) {
	m.api, err = httpapi.New(httpapi.Options{
		Alive: func() error { return nil }, Ready: m.ready, Log: m.log,
		Collectors: []prometheus.Collector{m.admission, m.watcher, m.certificate, LeaderGauge(m.leader.Elected())},
	})
	if err != nil {
		return err
	}
	m.listener, err = listen.TCP(m.options.HTTP, "http")
	return err
}

// LeaderGauge is the metric migration_proxy_watcher_leader: 1 after elected was
// closed.
func LeaderGauge(elected <-chan struct{}) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "migration_proxy_watcher_leader", Help: "1 while this replica runs the watcher.",
	}, func() float64 {
		select {
		case <-elected:
			return 1
		default:
			return 0
		}
	})
}

// ready is the answer of /ready: nil when the API server would accept the
// certificate, and the config is known. An API server that goes away later does
// not change that.
func (m *manager) ready() error {
	if m.draining.Load() {
		return errors.New("shutting down")
	}
	if err := m.certificate.Check(time.Now()); err != nil {
		return err
	}
	return m.configCache.Synced()
}

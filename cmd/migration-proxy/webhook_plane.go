package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/migration-proxy/migration-proxy/certs"
	"github.com/migration-proxy/migration-proxy/internal/httpapi"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/listen"
	"github.com/migration-proxy/migration-proxy/internal/logging"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/watcher"
	"github.com/migration-proxy/migration-proxy/webhook"
)

// admissionPlane is the second process of the cluster half put together:
//
//	ConfigMaps -> view ----> admission <- API server (TLS <- certificate <- files)
//	lease -> manager -> watcher -> Ingresses, Services, state   (the leader only)
//	                        +-> HTTP API: conditions, metrics
type admissionPlane struct {
	options     webhookOptions
	log         *slog.Logger
	certificate *certs.Served
	view        *webhook.View
	server      ctrlwebhook.Server
	manager     manager.Manager
	api         *httpapi.Server
	listener    net.Listener
	draining    atomic.Bool
}

// newAdmissionPlane does all that can fail for good. It asks the API server
// nothing: that may be away at the start.
func newAdmissionPlane(options webhookOptions, log *slog.Logger) (*admissionPlane, error) {
	cluster, err := options.cluster.connect()
	if err != nil {
		return nil, err
	}
	if err := listen.Check(options.listen, "listen"); err != nil {
		return nil, err
	}
	p := &admissionPlane{options: options, log: log, certificate: certs.New(options.certDir, cluster.Namespace, log)}
	p.view = webhook.NewView(cluster.ConfigMap(names.ConfigMap, log), cluster.ConfigMap(names.StateMap, log), log)
	admission := webhook.New(webhook.Options{
		View: p.view, Services: cluster.CoreV1(), Self: options.user(cluster.Namespace), Log: log,
	})
	p.openAdmission(admission)
	watching, err := p.openWatcher(cluster)
	if err != nil {
		return nil, err
	}
	return p, p.openAPI(admission, watching, p.certificate)
}

// openAdmission: TLS 1.2 is the oldest that the API server speaks.
func (p *admissionPlane) openAdmission(admission *webhook.Admission) {
	host := ""
	if !p.options.listen.All {
		host = p.options.listen.Addr().String()
	}
	p.server = ctrlwebhook.NewServer(ctrlwebhook.Options{
		Host: host, Port: int(p.options.listen.Port()),
		TLSOpts: []func(*tls.Config){func(config *tls.Config) {
			config.MinVersion, config.GetCertificate = tls.VersionTLS12, p.certificate.GetCertificate
		}},
	})
	admission.Register(p.server)
}

// openWatcher: the manager holds the lease, gives it back when it ends, and
// runs nothing but the watcher.
func (p *admissionPlane) openWatcher(cluster *kube.Cluster) (*watcher.Watcher, error) {
	watching, err := watcher.New(watcher.Options{
		Config: cluster.Config, Namespace: cluster.Namespace, Log: p.log,
	})
	if err != nil {
		return nil, err
	}
	p.manager, err = manager.New(cluster.Config, manager.Options{
		LeaderElection:                p.options.leaderElect,
		LeaderElectionID:              names.Lease,
		LeaderElectionNamespace:       cluster.Namespace,
		LeaderElectionReleaseOnCancel: true,
		Metrics:                       metricsserver.Options{BindAddress: "0"},   // ours has them
		Logger:                        logr.FromSlogHandler(slog.DiscardHandler), // what it returns, we say
	})
	if err != nil {
		return nil, fmt.Errorf("prepare the watcher: %w", err)
	}
	return watching, p.manager.Add(watching)
}

func (p *admissionPlane) openAPI(collectors ...prometheus.Collector) (err error) {
	p.api, err = httpapi.New(httpapi.Options{
		Alive: func() error { return nil }, Ready: p.ready, Log: p.log,
		Collectors: append(collectors, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "migration_proxy_watcher_leader", Help: "1 while this replica runs the watcher.",
		}, p.leading)),
	})
	if err != nil {
		return err
	}
	p.listener, err = listen.TCP(p.options.http, "http")
	return err
}

func (p *admissionPlane) leading() float64 {
	select {
	case <-p.manager.Elected():
		return 1
	default:
		return 0
	}
}

// ready: the API server would accept our certificate, and we know what to
// answer. An API server that goes away later does not change that.
func (p *admissionPlane) ready() error {
	if p.draining.Load() {
		return errors.New("shutting down")
	}
	if err := p.certificate.Check(time.Now()); err != nil {
		return err
	}
	return p.view.Synced()
}

// run serves until ctx ends. The watcher then ends at once, so that another
// replica can take over; admission answers for the drain time, in which the
// API server learns that it should ask another replica. A lost lease ends the
// process: what the watcher was just doing must not go on beside the next
// leader's.
func (p *admissionPlane) run(ctx context.Context) error {
	group, failed := errgroup.WithContext(ctx)
	last, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	group.Go(func() error { return p.api.Run(last, p.listener) })
	group.Go(func() error { return p.certificate.Run(last) })
	group.Go(func() error { return p.view.Follow(last) })
	group.Go(func() error { return p.server.Start(last) })
	group.Go(func() error { return p.manager.Start(failed) })
	group.Go(func() error { p.announce(failed); return nil })
	group.Go(func() error {
		defer end()
		<-failed.Done()
		p.draining.Store(true)
		p.linger(ctx)
		return nil
	})
	return group.Wait()
}

func (p *admissionPlane) announce(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-p.manager.Elected():
		p.log.Info("This replica runs the watcher", "lease", names.Lease)
	}
}

// linger lets admission answer a little longer; not when a part has failed,
// for then the process should start again soon.
func (p *admissionPlane) linger(ctx context.Context) {
	if ctx.Err() != nil {
		time.Sleep(p.options.drain)
	}
}

// quietRuntime puts controller-runtime's log lines into our format.
func quietRuntime(log *slog.Logger) {
	ctrllog.SetLogger(logr.FromSlogHandler(log.With(logging.ComponentKey, "controller-runtime").Handler()))
	slog.SetDefault(log) // and net/http's about handshakes
}

package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/listen"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/webhook"
)

type webhookOptions struct {
	listen, http listen.Address
	cluster      clusterOptions
	self         string
	certDir      string
	leaderElect  bool
	drain        time.Duration
	logs         logOptions
}

func newWebhook() *cobra.Command {
	options := webhookOptions{listen: listen.OnAll(names.AdmissionPort), http: listen.OnAll(names.HTTPPort)}
	cmd := &cobra.Command{
		Use:   "webhook",
		Short: "Run admission, and the watcher on one replica",
		Long: `Run admission: opted-in Ingresses are pointed at the proxy as they are written,
and a migration config that would not load is refused. One replica, the leader,
runs the watcher too: it follows the config, the Ingresses and the proxies, and
keeps all Ingresses as they must be.

SIGTERM and SIGINT hand the lead over at once, and admission goes on for
--drain, while /ready says no.`,
		Example: `  migration-proxy webhook                          # in a pod
  migration-proxy webhook --cert-dir ./tls --leader-elect=false`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := options.check(); err != nil {
				return err
			}
			return runWebhook(cmd, options)
		},
	}
	options.flags(cmd)
	return cmd
}

func (o *webhookOptions) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.Var(&o.listen, "listen", "where the API server asks, by TLS")
	flags.Var(&o.http, "http", "where /health, /ready and /metrics are")
	flags.StringVar(&o.certDir, "cert-dir", "/tls", "directory with tls.crt and tls.key, as the Secret is mounted")
	flags.StringVar(&o.cluster.namespace, "namespace", "", "namespace of the migration proxy; the pod's or the kubeconfig's")
	flags.StringVar(&o.self, "user", "", "user that the watcher is to the API server; the pod's service account")
	flags.BoolVar(&o.leaderElect, "leader-elect", true, "run the watcher only while holding the lease; false: run it always")
	flags.DurationVar(&o.drain, "drain", 5*time.Second, "how long SIGTERM leaves the port open, while /ready says no")
	environmentOf(flags, "listen", "http", "cert-dir", "namespace", "user", "leader-elect", "drain")
	o.logs.flags(cmd)
}

func (o *webhookOptions) check() error {
	if o.drain < 0 || o.drain > maxDrain {
		return wrongUsage("--drain %s: use 0s to %s", o.drain, maxDrain)
	}
	return o.logs.check()
}

// user is the name that the API server knows our watcher by.
func (o *webhookOptions) user(namespace string) string {
	if o.self != "" {
		return o.self
	}
	return webhook.User(namespace, names.Webhook)
}

func runWebhook(cmd *cobra.Command, options webhookOptions) error {
	log := options.logs.logger(cmd.ErrOrStderr())
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	kube.LogClientGo(log, options.logs.level)
	quietRuntime(log)
	plane, err := newAdmissionPlane(options, log)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() {
		log.Info("Shutting down, admission answers a little longer", "drain", options.drain)
		stop() // a second signal does not wait
	})() // before the other stop: who fails was not told to end
	return plane.run(ctx)
}

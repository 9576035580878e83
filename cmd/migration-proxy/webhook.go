package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/listen"
	"github.com/migration-proxy/migration-proxy/internal/manager"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/watcher"
)

type webhookOptions struct {
	manager manager.Options
	cluster clusterOptions
	logs    logOptions
	memory  memoryOptions
}

func newWebhook() *cobra.Command {
	var options webhookOptions
	cmd := &cobra.Command{
		Use:   "webhook",
		Short: "Run admission, and the watcher on one replica",
		Long: `Run admission: opted-in Ingresses are changed to point to the proxy when they
are written, and a migration config that would not load is refused. One replica,
the leader, also runs the watcher: it follows the config, the Ingresses and the
proxies, and keeps all Ingresses in the state that they need.

On SIGTERM and SIGINT the replica gives up the lead at once. Admission goes on
for --drain, while /ready says no.`,
		Example: `  migration-proxy webhook                          # in a pod
  migration-proxy webhook --cert-dir ./tls --leader-elect=false`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := options.check(); err != nil {
				return err
			}
			if err := options.complete(cmd); err != nil {
				return err
			}
			return manager.Run(cmd.Context(), options.manager)
		},
	}
	options.flags(cmd)
	return cmd
}

func (o *webhookOptions) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	o.manager.Listen, o.manager.HTTP = listen.OnAll(names.AdmissionPort), listen.OnAll(names.HTTPPort)
	flags.Var(&o.manager.Listen, "listen", "where the API server calls the webhooks, by TLS")
	flags.Var(&o.manager.HTTP, "http", "where /health, /ready and /metrics are")
	flags.StringVar(&o.manager.CertDir, "cert-dir", "/tls", "directory with tls.crt and tls.key, as the Secret is mounted")
	flags.StringVar(&o.manager.ClientCAFile, "client-ca-file", "",
		"CA certificates in PEM; only clients with a certificate of theirs are answered, which the API server must be configured to present")
	flags.StringVar(&o.cluster.namespace, "namespace", "", "namespace of the migration proxy; the pod's or the kubeconfig's")
	flags.StringVar(&o.manager.User, "user", "", "user name of the watcher at the API server; the pod's service account")
	flags.BoolVar(&o.manager.LeaderElect, "leader-elect", true, "run the watcher only while holding the lease; false: run it always")
	flags.DurationVar(&o.manager.Drain, "drain", 5*time.Second, "how long SIGTERM leaves the port open, while /ready says no")
	flags.StringSliceVar(&o.manager.CanaryControllers, "canary-controllers", nil,
		"spec.controller of IngressClasses whose controller knows the canary annotations of ingress-nginx, besides "+ingressgen.ControllerNginx)
	flags.StringSliceVar(&o.manager.AnchorControllers, "anchor-controllers", []string{ingressgen.ControllerNginx},
		"spec.controller of IngressClasses whose controller loses requests when an Ingress changes its Service, so that an anchor must name both")
	flags.DurationVar(&o.manager.AnchorSettle, "anchor-settle", watcher.AnchorSettle, "how long such a controller has to read an anchor before an Ingress changes")
	environmentOf(flags, "listen", "http", "cert-dir", "client-ca-file", "namespace", "user", "leader-elect", "drain", "canary-controllers", "anchor-controllers", "anchor-settle")
	o.logs.flags(cmd)
	o.memory.flags(cmd)
}

// maxAnchorSettle bounds how long an opt-in waits.
const maxAnchorSettle = 10 * time.Minute

func (o *webhookOptions) check() error {
	if drain := o.manager.Drain; drain < 0 || drain > maxDrain {
		return wrongUsage("--drain %s: use 0s to %s", drain, maxDrain)
	}
	if settle := o.manager.AnchorSettle; settle <= 0 || settle > maxAnchorSettle {
		return wrongUsage("--anchor-settle %s: use 1s to %s", settle, maxAnchorSettle)
	}
	if err := o.memory.check(); err != nil {
		return err
	}
	return o.logs.check()
}

// complete adds the parts that are not flags.
func (o *webhookOptions) complete(cmd *cobra.Command) (err error) {
	o.manager.Log = o.logs.logger(cmd.ErrOrStderr())
	o.memory.apply(80)
	kube.LogClientGo(o.manager.Log, o.logs.level)
	o.manager.Cluster, err = o.cluster.connect()
	return err
}

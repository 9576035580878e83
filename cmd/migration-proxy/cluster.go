package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"

	"github.com/migration-proxy/migration-proxy/internal/cli/configfile"
	"github.com/migration-proxy/migration-proxy/internal/cli/installation"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/migration"
)

// clusterOptions are the flags that name a cluster, and the namespace of the
// migration proxy in it.
type clusterOptions struct {
	kubeconfig, context string              // "" is what kubectl uses
	namespace           string              // "" is the pod's or the kubeconfig's
	warnings            rest.WarningHandler // of the API server; nil: the log
}

// flags are for commands that use the user's own kubeconfig and rights. The
// namespace is not the one of the kubeconfig: that has the user's applications.
func (o *clusterOptions) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVarP(&o.namespace, "namespace", "n", names.Namespace, "namespace of the migration proxy")
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig file, if not $KUBECONFIG or ~/.kube/config")
	flags.StringVar(&o.context, "context", "", "context of the kubeconfig, if not its current one")
	environmentOf(flags, "namespace")
}

// connect makes a client and sends no request.
func (o *clusterOptions) connect() (*kube.Cluster, error) {
	return kube.Connect(kube.Connection{
		Kubeconfig: o.kubeconfig, Context: o.context, Namespace: o.namespace, Warnings: o.warnings,
		UserAgent: "migration-proxy/" + versionText(),
	})
}

// installation is what a command of a user reads. The error says what to do
// without a cluster.
func (o *clusterOptions) installation(withoutCluster string) (*installation.Installation, error) {
	kube.LogClientGo(slog.New(slog.DiscardHandler), slog.LevelInfo)
	o.warnings = rest.NewWarningWriter(os.Stderr, rest.WarningWriterOptions{Deduplicate: true})
	cluster, err := o.connect()
	if err != nil {
		return nil, fmt.Errorf("%w; name a kubeconfig with --kubeconfig, or %s", err, withoutCluster)
	}
	return installation.New(cluster), nil
}

// table is the migration config of the FILE argument, or without one that of
// the ConfigMap.
func (o *clusterOptions) table(ctx context.Context, args []string, stdin io.Reader) (*migration.Table, error) {
	if len(args) > 0 {
		return configfile.Load(args[0], stdin)
	}
	in, err := o.installation("name a FILE")
	if err != nil {
		return nil, err
	}
	return in.Table(ctx)
}

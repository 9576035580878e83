package main

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"

	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/names"
)

// clusterOptions name a cluster, and the installation in it.
type clusterOptions struct {
	kubeconfig, context string              // "" as kubectl has it
	namespace           string              // "" is the client configuration's
	warnings            rest.WarningHandler // of the API server; nil: the log
}

// flags are those of who asks a cluster: the user's own kubeconfig and rights.
// The namespace is that of the one installation, not that of the kubeconfig,
// which is where the user's applications are.
func (o *clusterOptions) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVarP(&o.namespace, "namespace", "n", names.Namespace, "namespace of the migration proxy")
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig file, if not $KUBECONFIG or ~/.kube/config")
	flags.StringVar(&o.context, "context", "", "context of the kubeconfig, if not its current one")
	environmentOf(flags, "namespace")
}

// ask makes a client for a question of the command line. The hint is the way
// out for who has no cluster.
func (o *clusterOptions) ask(hint string) (*installation, error) {
	kube.LogClientGo(slog.New(slog.DiscardHandler), slog.LevelInfo)
	o.warnings = rest.NewWarningWriter(os.Stderr, rest.WarningWriterOptions{Deduplicate: true})
	found, err := o.connect()
	if err != nil {
		return nil, fmt.Errorf("%w; name a kubeconfig with --kubeconfig, or %s", err, hint)
	}
	return newInstallation(found), nil
}

// connect makes a client and sends nothing.
func (o *clusterOptions) connect() (*kube.Cluster, error) {
	return kube.Connect(kube.Connection{
		Kubeconfig: o.kubeconfig, Context: o.context, Namespace: o.namespace, Warnings: o.warnings,
		UserAgent: "migration-proxy/" + versionText(),
	})
}

func newInstallation(cluster *kube.Cluster) *installation {
	return &installation{
		Interface: cluster, config: cluster.Config, namespace: cluster.Namespace,
		object: cluster.ConfigMap(names.ConfigMap, slog.New(slog.DiscardHandler)),
	}
}

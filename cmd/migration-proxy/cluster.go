package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/logging"
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
	quietClient(slog.New(slog.DiscardHandler), slog.LevelInfo)
	o.warnings = rest.NewWarningWriter(os.Stderr, rest.WarningWriterOptions{Deduplicate: true})
	found, err := o.connect(slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, fmt.Errorf("%w; name a kubeconfig with --kubeconfig, or %s", err, hint)
	}
	return found, nil
}

// connect makes a client and sends nothing.
func (o *clusterOptions) connect(log *slog.Logger) (*installation, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = o.kubeconfig
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: o.context})
	restConfig, err := loader.ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, errors.New("no cluster is known: there is no kubeconfig ($KUBECONFIG, ~/.kube/config), and this is no pod")
	}
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	restConfig.WarningHandler = o.warnings
	namespace := o.namespace
	if namespace == "" {
		if namespace, _, err = loader.Namespace(); err != nil {
			return nil, fmt.Errorf("read the kubeconfig: %w", err)
		}
	}
	return newInstallation(restConfig, namespace, log)
}

func newInstallation(restConfig *rest.Config, namespace string, log *slog.Logger) (*installation, error) {
	restConfig = rest.CopyConfig(restConfig)
	restConfig.UserAgent = "migration-proxy/" + versionText()
	restConfig.ContentType = runtime.ContentTypeProtobuf
	restConfig.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	restConfig.QPS = -1 // the API server's own fairness is enough: all that we ask is small
	client, err := kubernetes.NewForConfig(restConfig)
	if err != nil {
		return nil, fmt.Errorf("make a client of the cluster: %w", err)
	}
	object := kube.Object{Client: client, Namespace: namespace, Name: names.ConfigMap, Log: log}
	return &installation{Interface: client, config: restConfig, namespace: namespace, object: object}, nil
}

// quietClient lets what client-go writes into the log appear at level debug:
// what a user should know of it we say ourselves, once.
func quietClient(log *slog.Logger, level slog.Level) {
	if level > slog.LevelDebug {
		log = slog.New(slog.DiscardHandler)
	}
	klog.SetSlogLogger(log.With(logging.ComponentKey, "client-go"))
}

package kube

import (
	"errors"
	"fmt"
	"log/slog"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"github.com/migration-proxy/migration-proxy/internal/logging"
)

// Cluster is a client of one cluster, and the namespace of the migration proxy
// in it.
type Cluster struct {
	kubernetes.Interface
	Config    *rest.Config // the client is made from it
	Namespace string
}

// Connection says which cluster to connect to, and as which program.
type Connection struct {
	Kubeconfig string              // a file; "" is $KUBECONFIG, ~/.kube/config, or the pod's service account
	Context    string              // a context of the kubeconfig; "" is its current one
	Namespace  string              // "" is the namespace of the pod, or of the kubeconfig's context
	UserAgent  string              // what the API server's audit log shows
	Warnings   rest.WarningHandler // gets the API server's warnings; nil: klog
}

// Connect makes a client. It sends no request. The error says which file
// cannot be read, or that no cluster is configured at all.
func Connect(to Connection) (*Cluster, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = to.Kubeconfig
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: to.Context})
	restConfig, err := loader.ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, errors.New("no cluster is known: there is no kubeconfig ($KUBECONFIG, ~/.kube/config), and this is no pod")
	}
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	namespace := to.Namespace
	if namespace == "" {
		if namespace, _, err = loader.Namespace(); err != nil {
			return nil, fmt.Errorf("read the kubeconfig: %w", err)
		}
	}
	restConfig.WarningHandler = to.Warnings
	restConfig.UserAgent = to.UserAgent
	restConfig.ContentType = runtime.ContentTypeProtobuf
	restConfig.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	restConfig.QPS = -1 // no limit here: the API server's own priority and fairness is enough for few small requests
	client, err := kubernetes.NewForConfig(restConfig)
	if err != nil {
		return nil, fmt.Errorf("make a client of the cluster: %w", err)
	}
	return &Cluster{Interface: client, Config: restConfig, Namespace: namespace}, nil
}

// ConfigMap is the named ConfigMap in the namespace of the migration proxy.
func (c *Cluster) ConfigMap(name string, log *slog.Logger) NamedConfigMap {
	return NamedConfigMap{Client: c, Namespace: c.Namespace, Name: name, Log: log}
}

// LogClientGo sends client-go's log lines to log if level is debug, and
// discards them otherwise: what a user must know, the packages of this module
// log themselves, once.
func LogClientGo(log *slog.Logger, level slog.Level) {
	if level > slog.LevelDebug {
		log = slog.New(slog.DiscardHandler)
	}
	klog.SetSlogLogger(log.With(logging.ComponentKey, "client-go"))
}

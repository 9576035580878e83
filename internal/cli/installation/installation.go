package installation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/history"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/journal"
	"github.com/migration-proxy/migration-proxy/migration"
)

// Installation is the migration proxy in one namespace of a cluster.
type Installation struct {
	*kube.Cluster
	configMap kube.NamedConfigMap // of the migration config
}

// New is the installation in the cluster's namespace. It sends no request.
func New(cluster *kube.Cluster) *Installation {
	return &Installation{Cluster: cluster, configMap: cluster.ConfigMap(names.ConfigMap, slog.New(slog.DiscardHandler))}
}

// ReadConfigMap reads a ConfigMap of the installation. One that does not exist is empty.
func (i *Installation) ReadConfigMap(ctx context.Context, name string) (*corev1.ConfigMap, error) {
	found, err := i.CoreV1().ConfigMaps(i.Namespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return &corev1.ConfigMap{}, nil
	case err != nil:
		return nil, Right{"get", ConfigMaps, i.Namespace}.Explain(err)
	}
	return found, nil
}

// ConfigName is the namespace and the name of the ConfigMap with the migration
// config, as messages call it.
func (i *Installation) ConfigName() string { return i.configMap.String() }

// Config is the migration config as the ConfigMap has it.
type Config struct {
	Name            string // ConfigName
	Text            []byte
	ResourceVersion string   // of the ConfigMap
	Warnings        []string // what Kubernetes accepts in the ConfigMap, and what surprises later
}

// Load parses and checks the config. The error is config.Problems.
func (c Config) Load() (*migration.Table, error) { return config.Load(c.Name, c.Text) }

// Config reads the migration config. The error says when there is no ConfigMap
// or no migration config in it.
func (i *Installation) Config(ctx context.Context) (Config, error) {
	found, err := i.ReadConfigMap(ctx, i.configMap.Name)
	if err != nil {
		return Config{}, err
	}
	if found.Name == "" {
		found = nil // ConfigText says how to create it
	}
	text, err := i.configMap.ConfigText(found)
	if err != nil {
		return Config{}, err
	}
	return Config{Name: i.ConfigName(), Text: text, ResourceVersion: found.ResourceVersion, Warnings: kube.ConfigWarnings(found)}, nil
}

// Table reads and loads the migration config.
func (i *Installation) Table(ctx context.Context) (*migration.Table, error) {
	now, err := i.Config(ctx)
	if err != nil {
		return nil, err
	}
	return now.Load()
}

// ValidTable is the migration config of the ConfigMap, or the last valid one that the
// watcher has recorded. The error says why the first one cannot be read.
func (i *Installation) ValidTable(ctx context.Context) (*migration.Table, error) {
	table, err := i.Table(ctx)
	if err == nil {
		return table, nil
	}
	if name, text, lastErr := kube.LastGood(ctx, i, i.Namespace); lastErr == nil {
		if last, lastErr := config.Load(name, text); lastErr == nil {
			return last, nil
		}
	}
	return nil, err
}

// LastValidTable is ValidTable, and nil when there is none.
func (i *Installation) LastValidTable(ctx context.Context) *migration.Table {
	table, _ := i.ValidTable(ctx)
	return table
}

// Recorded is what the watcher has recorded in ConfigMap migration-state.
type Recorded struct {
	Cluster   status.Cluster   // of all replicas together
	Ingresses status.Ingresses // what to know about single Ingresses
}

// Recorded reads what the watcher has recorded. Before a watcher has run there is
// nothing: the result is empty, without an error.
func (i *Installation) Recorded(ctx context.Context) (Recorded, error) {
	found, err := i.ReadConfigMap(ctx, names.StateMap)
	if err != nil {
		return Recorded{}, err
	}
	cluster, clusterErr := status.ParseCluster(found.Data)
	ingresses, ingressesErr := status.ParseIngresses(found.Data)
	if err := errors.Join(clusterErr, ingressesErr); err != nil {
		return Recorded{cluster, ingresses}, fmt.Errorf("ConfigMap %s/%s: %w", i.Namespace, names.StateMap, err)
	}
	return Recorded{cluster, ingresses}, nil
}

// State is the part of Recorded that is about all replicas together.
func (i *Installation) State(ctx context.Context) (status.Cluster, error) {
	recorded, err := i.Recorded(ctx)
	return recorded.Cluster, err
}

// Replicas reads the status of every replica of the data plane, through the
// API server. A replica that does not answer has its own Err; the error of the
// function says that the replicas are not known at all.
func (i *Installation) Replicas(ctx context.Context) ([]kube.Replica, error) {
	endpoints, err := i.endpoints(ctx)
	if err != nil {
		return nil, err
	}
	replicas := kube.FetchStatuses(ctx, endpoints, kube.ThroughAPIServer(i, i.Namespace))
	for at := range replicas {
		if err := i.explain(ctx, &replicas[at].Err); err != nil {
			return nil, err
		}
	}
	return replicas, nil
}

// Histories reads the history of a service from every replica, as Replicas does.
func (i *Installation) Histories(ctx context.Context, service string) ([]kube.Answer[history.Document], error) {
	endpoints, err := i.endpoints(ctx)
	if err != nil {
		return nil, err
	}
	return kube.FetchHistories(ctx, endpoints, kube.HistoryThroughAPIServer(i, i.Namespace, service)), nil
}

// endpoints are those of all replicas.
func (i *Installation) endpoints(ctx context.Context) ([]kube.Endpoint, error) {
	list, err := i.DiscoveryV1().EndpointSlices(i.Namespace).List(ctx, metav1.ListOptions{
		LabelSelector: discoveryv1.LabelServiceName + "=" + names.ProxyService,
	})
	if err != nil {
		return nil, Right{"list", EndpointSlices, i.Namespace}.Explain(err)
	}
	return kube.Endpoints(list.Items), nil
}

// Documents reads another document of every replica, as Replicas does the status.
func (i *Installation) Documents(ctx context.Context, path string, query map[string]string) ([]kube.Answer[[]byte], error) {
	endpoints, err := i.endpoints(ctx)
	if err != nil {
		return nil, err
	}
	documents := kube.FetchDocuments(ctx, endpoints, kube.DocumentThroughAPIServer(i, i.Namespace, path, query))
	for at := range documents {
		if err := i.explain(ctx, &documents[at].Err); err != nil {
			return nil, err
		}
	}
	return documents, nil
}

// explain returns the error of a replica when it is about the user's rights, and so
// about all replicas. To that of a replica that gave no answer through the API server it
// adds what most often causes it: the replica is ready, so the kubelet reaches the same
// port, and a NetworkPolicy drops what comes from elsewhere.
func (i *Installation) explain(ctx context.Context, err *error) error {
	switch {
	case apierrors.IsForbidden(*err):
		return Right{"get", "pods/proxy", i.Namespace}.Explain(*err)
	case errors.Is(*err, context.DeadlineExceeded) && ctx.Err() == nil:
		*err = fmt.Errorf("%w (the API server got no answer from port 8080 of the pod; if a NetworkPolicy guards that port, "+
			"it must let the API server in: chart value networkPolicy.statusFrom)", *err)
	}
	return nil
}

// Journal reads the history that the watcher writes; empty before it has written any.
func (i *Installation) Journal(ctx context.Context) (journal.Journal, error) {
	found, err := i.ReadConfigMap(ctx, names.JournalMap)
	if err != nil {
		return journal.Journal{}, err
	}
	all, err := journal.Parse(found.Data[journal.EntriesKey])
	if err != nil {
		return journal.Journal{}, fmt.Errorf("ConfigMap %s: %w", i.JournalName(), err)
	}
	return all, nil
}

// JournalName is the namespace and the name of the ConfigMap with the journal.
func (i *Installation) JournalName() string { return i.Namespace + "/" + names.JournalMap }

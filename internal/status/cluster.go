package status

import "time"

// The keys of ConfigMap migration-state. Each has one writer.
const (
	ClusterKey  = "state.json"     // Cluster, by the watcher
	LastGoodKey = "last-good.yaml" // the last migration config that was valid and that a replica served, by the watcher
	PausedKey   = "paused"         // why nothing is rewritten; by the command restore --all

	IngressesKey = "ingresses.json" // Ingresses, by the watcher
)

// Cluster is what all replicas together serve: the content of ConfigMap
// migration-state. The watcher writes it, admission and the CLI read it.
type Cluster struct {
	// Services has an entry for each service of the config in force, by name. A
	// service that no replica serves is Bypassed.
	Services map[string]ClusterService `json:"services"`
	// Paused is why no Ingress is rewritten; "" if Ingresses are rewritten. The
	// ConfigMap has it under PausedKey.
	Paused string `json:"-"`
}

// ClusterService is the state of one service over all replicas.
type ClusterService struct {
	// Host is the host for which the replicas serve the service. If the config
	// has another host, the replicas do not serve that one yet.
	Host string `json:"host"`
	// PathPrefix is the path prefix for which the replicas serve the service.
	PathPrefix string `json:"path_prefix"`
	// Phase is Migrating, FallenBack (the Ingress is reverted) or Bypassed.
	Phase Phase `json:"phase"`
	// Reason is why the service has this phase, or "".
	Reason string `json:"reason,omitempty"`
	// Since is when the phase began, in UTC.
	Since time.Time `json:"since"`
}

// ParseCluster reads the data of ConfigMap migration-state. Without ClusterKey
// (nil data, or no watcher has run yet) the result has no services. The error
// names the key.
func ParseCluster(data map[string]string) (Cluster, error) {
	cluster, err := parse[Cluster](data, ClusterKey)
	cluster.Paused = data[PausedKey]
	return cluster, err
}

// Text is the content of ClusterKey. Equal states have equal texts.
func (c Cluster) Text() (string, error) {
	return text(c, "write the cluster's state")
}

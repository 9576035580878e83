package status

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// The keys of ConfigMap migration-state. Each has one writer.
const (
	ClusterKey  = "state.json"     // Cluster, by the watcher
	LastGoodKey = "last-good.yaml" // the last migration config that was valid and that a replica served, by the watcher
	PausedKey   = "paused"         // why nothing is rewritten; by the command restore --all
)

// Cluster is what all replicas together serve: the content of ConfigMap
// migration-state. The watcher writes it, admission and the CLI read it.
type Cluster struct {
	// Services has an entry for each service of the config in force, also when
	// no replica serves it: then it is Bypassed. By name.
	Services map[string]ClusterService `json:"services"`
	// Namespaces are those in which the proxy's Service and its endpoints are,
	// sorted: where an Ingress may be pointed at it. One is added when they
	// have been there for a moment, and taken away before they are removed.
	Namespaces []string `json:"namespaces,omitempty"`
	// Paused, if not empty, is why no Ingress is rewritten. It comes from its
	// own key.
	Paused string `json:"-"`
}

// ClusterService is one service over all replicas.
type ClusterService struct {
	// Host and PathPrefix are what the replicas serve it for. A config that
	// says another host is not served yet.
	Host       string `json:"host"`
	PathPrefix string `json:"path_prefix"`
	// Phase is Migrating, FallenBack (the Ingress is reverted) or Bypassed.
	Phase  Phase     `json:"phase"`
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since"` // of the phase, UTC
}

// Provides tells whether an Ingress of the namespace may be pointed at the
// proxy's Service there.
func (c Cluster) Provides(namespace string) bool {
	_, found := slices.BinarySearch(c.Namespaces, namespace)
	return found
}

// ParseCluster reads the data of ConfigMap migration-state. Without a state
// (nil data, or no watcher yet) nothing is served. The error names the key.
func ParseCluster(data map[string]string) (Cluster, error) {
	cluster := Cluster{Paused: data[PausedKey]}
	text, ok := data[ClusterKey]
	if !ok {
		return cluster, nil
	}
	if err := json.Unmarshal([]byte(text), &cluster); err != nil {
		return Cluster{Paused: data[PausedKey]}, fmt.Errorf("key %s: %w", ClusterKey, err)
	}
	return cluster, nil
}

// Text is the content of ClusterKey: equal for equal states.
func (c Cluster) Text() (string, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("write the cluster's state: %w", err)
	}
	return string(text), nil
}

package clusterstatus

import (
	"context"
	"strings"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/cli/installation"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/journal"
	"github.com/migration-proxy/migration-proxy/migration"
)

// Status is the status over all replicas. Its JSON is what status -o json
// prints: field names are an interface.
type Status struct {
	Namespace string    `json:"namespace"`
	Now       time.Time `json:"now"`
	Paused    string    `json:"paused,omitempty"` // why no Ingress is rewritten
	Config    Config    `json:"config"`
	Replicas  []Replica `json:"replicas"` // by pod
	Services  []Service `json:"services"` // by name

	// Ingresses are those about which the watcher has something to say.
	Ingresses status.Ingresses `json:"ingresses"`
}

// Config is the migration config of the ConfigMap.
type Config struct {
	Source   string   `json:"source"`             // NAMESPACE/NAME
	Digest   string   `json:"digest"`             // "" when the config is invalid or missing
	Problems []string `json:"problems,omitempty"` // why it is
	Warnings []string `json:"warnings,omitempty"` // what surprises later
	InSync   bool     `json:"in_sync"`            // there are ready replicas, and all of them serve it
}

// Replica is one replica without its services.
type Replica struct {
	Pod     string         `json:"pod"`
	Ready   bool           `json:"ready"`           // it gets traffic
	InSync  bool           `json:"in_sync"`         // it serves the config of the ConfigMap
	Error   string         `json:"error,omitempty"` // why its status cannot be read
	Version string         `json:"version"`
	Config  *status.Config `json:"config,omitempty"` // nil with an Error
	Nginx   *status.Nginx  `json:"nginx,omitempty"`  // nil with an Error
}

// Read reads the status of the installation. The error says what the API
// server refuses; what is wrong with the config or with a replica is in the
// document.
func Read(ctx context.Context, from *installation.Installation) (Status, error) {
	replicas, err := from.Replicas(ctx)
	if err != nil {
		return Status{}, err
	}
	recorded, err := from.Recorded(ctx)
	if err != nil {
		return Status{}, err
	}
	var table *migration.Table
	config, configErr := from.Config(ctx)
	if configErr == nil {
		table, configErr = config.Load()
	}
	document := New(replicas, table, recorded.Cluster)
	document.Namespace, document.Config.Source, document.Now = from.Namespace, from.ConfigName(), time.Now()
	document.Config.Warnings, document.Ingresses = config.Warnings, recorded.Ingresses
	if history, err := from.Journal(ctx); err == nil { // the status does not depend on it
		document.addLastChanges(history)
	}
	if configErr != nil {
		document.Config.Problems = strings.Split(configErr.Error(), "\n")
	}
	return document, nil
}

func (s *Status) addLastChanges(history journal.Journal) {
	newest := history.Newest()
	for i := range s.Services {
		if entry, ok := newest[s.Services[i].Name]; ok {
			s.Services[i].LastChange = &entry
		}
	}
}

// New adds the replicas up. Table is the config, or nil when it is not valid.
func New(replicas []kube.Replica, table *migration.Table, state status.Cluster) Status {
	document := Status{Paused: state.Paused, Services: Services(replicas, table, state)}
	if table != nil {
		document.Config.Digest = table.Digest()
	}
	for _, replica := range replicas {
		document.Replicas = append(document.Replicas, newReplica(replica, document.Config.Digest))
	}
	ready, inSync := document.Ready()
	document.Config.InSync = ready > 0 && inSync == ready
	return document
}

func newReplica(replica kube.Replica, digest string) Replica {
	row := Replica{Pod: replica.Pod, Ready: replica.Ready}
	if replica.Err != nil {
		row.Error = replica.Err.Error()
		return row
	}
	own := replica.Status
	row.Version, row.Config, row.Nginx = own.Version, &own.Config, &own.Nginx
	row.InSync = digest != "" && own.Config.Digest == digest
	return row
}

// Ready counts the replicas that get traffic, and how many of them serve the
// config of the ConfigMap. The others do not matter: they get no requests.
func (s Status) Ready() (ready, inSync int) {
	for _, replica := range s.Replicas {
		if replica.Ready {
			ready++
			if replica.InSync {
				inSync++
			}
		}
	}
	return ready, inSync
}

// Service is the row of one service, and whether there is one.
func (s Status) Service(name string) (Service, bool) { return find(s.Services, name) }

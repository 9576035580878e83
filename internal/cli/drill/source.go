package drill

import (
	"context"

	"github.com/migration-proxy/migration-proxy/internal/cli/configfile"
	"github.com/migration-proxy/migration-proxy/internal/cli/oneproxy"
	"github.com/migration-proxy/migration-proxy/internal/cli/ramps"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy/drills"
)

// Source is where the service is: InCluster or Local.
type Source interface {
	table(context.Context) (*migration.Table, error)
	user(context.Context) (string, error)
	replicas(context.Context) ([]replica, error) // those that get traffic
	// phase is the state of a service over all replicas.
	phase(ctx context.Context, service string) (status.ClusterService, error)
	write(ctx context.Context, service string, drill status.Drill) error
}

// replica is what one replica says.
type replica struct {
	name   string
	err    error
	status status.Status
}

// row is what it says of a service; nil: it does not serve it.
func (r replica) row(service string) *status.Service { return r.status.Row(service) }

// InCluster is an installation.
type InCluster struct{ ramps.InCluster }

func (c InCluster) table(ctx context.Context) (*migration.Table, error) { return c.ValidTable(ctx) }

func (c InCluster) user(ctx context.Context) (string, error) { return c.WhoAmI(ctx) }

func (c InCluster) replicas(ctx context.Context) ([]replica, error) {
	all, err := c.Replicas(ctx)
	if err != nil {
		return nil, err
	}
	return ready(all), nil
}

func ready(all []kube.Replica) []replica {
	var found []replica
	for _, one := range all {
		if one.Ready {
			found = append(found, replica{one.Pod, one.Err, one.Status})
		}
	}
	return found
}

func (c InCluster) phase(ctx context.Context, service string) (status.ClusterService, error) {
	state, err := c.State(ctx)
	return state.Services[service], err
}

func (c InCluster) write(ctx context.Context, service string, drill status.Drill) error {
	return c.WriteDrill(ctx, service, drill)
}

// Local is a proxy that serves a local file.
type Local struct {
	File       string // the config
	RuntimeDir string // of the proxy
	User       string // of this process
	Proxy      oneproxy.Proxy
}

func (l Local) table(context.Context) (*migration.Table, error) {
	return configfile.Load(l.File, nil)
}

func (l Local) user(context.Context) (string, error) { return l.User, nil }

func (l Local) replicas(ctx context.Context) ([]replica, error) {
	document, _, err := l.Proxy.Status(ctx)
	return []replica{{l.Proxy.Address(), err, document}}, nil
}

func (Local) phase(context.Context, string) (status.ClusterService, error) {
	return status.ClusterService{Phase: status.Migrating}, nil
}

func (l Local) write(_ context.Context, service string, drill status.Drill) error {
	return drills.Write(l.RuntimeDir, service, drill)
}

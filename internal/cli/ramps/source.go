package ramps

import (
	"context"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	"github.com/migration-proxy/migration-proxy/internal/cli/configfile"
	"github.com/migration-proxy/migration-proxy/internal/cli/installation"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/rampview"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy/localramp"
)

// Source is where the ramps are: InCluster or Local.
type Source interface {
	table(context.Context) (*migration.Table, error)
	data(context.Context) (map[string]string, error) // the keys of ConfigMap migration-ramp
	user(context.Context) (string, error)
	send(ctx context.Context, service string, command status.RampCommand) error
}

// InCluster has the ramps of an installation.
type InCluster struct{ *installation.Installation }

func (c InCluster) table(ctx context.Context) (*migration.Table, error) { return c.ValidTable(ctx) }

// Rows are the ramps of the services of a table, as they are now.
func (c InCluster) Rows(ctx context.Context, table *migration.Table) ([]rampview.Row, error) {
	data, err := c.data(ctx)
	if err != nil {
		return nil, err
	}
	return rampview.Rows(table, data, time.Now())
}

// InForce is the table with the shares that ramps have reached: what the replicas serve.
// Without a ramp nothing is read.
func (c InCluster) InForce(ctx context.Context, table *migration.Table) (*migration.Table, error) {
	if !table.HasRamps() {
		return table, nil
	}
	services := table.Services()
	data, err := c.data(ctx)
	if err != nil {
		return nil, err
	}
	positions, err := status.ParsePositions(data)
	if err != nil {
		return nil, fmt.Errorf("ConfigMap %s/%s: %w", c.Namespace, names.RampMap, err)
	}
	for i := range services {
		if services[i].Ramp == nil {
			continue
		}
		position := migration.ShareOf(positions.Services[string(services[i].Name)].Share)
		table = table.WithShare(services[i].Name, services[i].ShareAt(position))
	}
	return table, nil
}

func (c InCluster) data(ctx context.Context) (map[string]string, error) {
	found, err := c.ReadConfigMap(ctx, names.RampMap)
	if err != nil {
		return nil, err
	}
	return found.Data, nil
}

func (c InCluster) user(ctx context.Context) (string, error) { return c.WhoAmI(ctx) }

// WhoAmI is the name that the API server knows the user by.
func (c InCluster) WhoAmI(ctx context.Context) (string, error) {
	review, err := c.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("ask the API server who you are: %w", err)
	}
	return review.Status.UserInfo.Username, nil
}

// send writes the command beside those for other services.
func (c InCluster) send(ctx context.Context, service string, command status.RampCommand) error {
	return c.edit(ctx, status.CommandsKey, func(data map[string]string) (string, error) { return status.WithCommand(data, service, command) })
}

// WriteDrill writes the newest drill of a service beside those of others.
func (c InCluster) WriteDrill(ctx context.Context, service string, drill status.Drill) error {
	return c.edit(ctx, status.DrillsKey, func(data map[string]string) (string, error) { return status.WithDrill(data, service, drill) })
}

// edit changes a key of ConfigMap migration-ramp. When the leader or another user writes
// between reading and writing, it reads again. Without a ramp there may be no ConfigMap
// yet: a drill makes it, and a command says so.
func (c InCluster) edit(ctx context.Context, key string, change func(data map[string]string) (string, error)) error {
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		found, err := c.ReadConfigMap(ctx, names.RampMap)
		if err != nil {
			return err
		}
		text, err := change(found.Data)
		switch {
		case err != nil:
			return fmt.Errorf("ConfigMap %s/%s: %w", c.Namespace, names.RampMap, err)
		case found.Name != "":
			return c.Patch(ctx, installation.Key{ConfigMap: names.RampMap, ResourceVersion: found.ResourceVersion, Name: key}, text, false)
		case key == status.CommandsKey:
			return fmt.Errorf("ConfigMap %s/%s does not exist; the watcher makes it for the first service with a ramp, is one running?", c.Namespace, names.RampMap)
		}
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: names.RampMap}, Data: map[string]string{key: text}}
		if _, err := c.CoreV1().ConfigMaps(c.Namespace).Create(ctx, object, metav1.CreateOptions{FieldManager: names.Manager}); err != nil {
			return installation.Right{Verb: "create", Resource: installation.ConfigMaps, Namespace: c.Namespace}.Explain(err)
		}
		return nil
	})
}

// Local has the ramps of a proxy that serves a local file.
type Local struct {
	File       string // the config
	RuntimeDir string // of the proxy
	User       string // of this process
}

func (l Local) table(context.Context) (*migration.Table, error) {
	return configfile.Load(l.File, nil)
}

func (l Local) data(context.Context) (map[string]string, error) { return localramp.Read(l.RuntimeDir) }

func (l Local) user(context.Context) (string, error) { return l.User, nil }

func (l Local) send(_ context.Context, service string, command status.RampCommand) error {
	return localramp.WriteCommand(l.RuntimeDir, service, command)
}

package finish

import (
	"context"
	"fmt"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/finish"
	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/cli/configfile"
	"github.com/migration-proxy/migration-proxy/internal/cli/installation"
	"github.com/migration-proxy/migration-proxy/internal/cli/oneproxy"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/journal"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy/localjournal"
)

// Source is where the migration is: InCluster or Local.
type Source interface {
	table(context.Context) (*migration.Table, error)
	// rows are the ready replicas, with what each says of the service.
	rows(ctx context.Context, service string) ([]finish.Replica, error)
	journal(context.Context) (journal.Journal, error)
	// ingresses are those of a host; none without a cluster.
	ingresses(ctx context.Context, host migration.Host) ([]*networkingv1.Ingress, error)
	// lines reads the access logs of the replicas since the given time; nil: it cannot.
	lines(ctx context.Context, seconds int64, receive func(line []byte)) error
}

// InCluster is a migration in a cluster.
type InCluster struct{ *installation.Installation }

func (c InCluster) table(ctx context.Context) (*migration.Table, error) { return c.ValidTable(ctx) }

func (c InCluster) rows(ctx context.Context, service string) ([]finish.Replica, error) {
	replicas, err := c.Replicas(ctx)
	if err != nil {
		return nil, err
	}
	var found []finish.Replica
	for _, replica := range replicas {
		if replica.Ready {
			found = append(found, rowOf(replica.Pod, replica.Status, replica.Err, service))
		}
	}
	return found, nil
}

func rowOf(name string, document status.Status, err error, service string) finish.Replica {
	if err != nil {
		return finish.Replica{Name: name, Problem: err.Error()}
	}
	row := document.Row(service)
	if row == nil {
		return finish.Replica{Name: name, Problem: "it does not serve the service yet"}
	}
	if row.LastRequest.IsZero() {
		row.LastRequest = document.StartedAt
	}
	return finish.Replica{Name: name, Row: *row}
}

func (c InCluster) journal(ctx context.Context) (journal.Journal, error) { return c.Journal(ctx) }

// ingresses gives the opted-in Ingresses of a host, with the annotations that their users
// wrote.
func (c InCluster) ingresses(ctx context.Context, host migration.Host) ([]*networkingv1.Ingress, error) {
	all, err := c.NetworkingV1().Ingresses(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, installation.Right{Verb: "list", Resource: installation.Ingresses}.Explain(err)
	}
	var found []*networkingv1.Ingress
	for i := range all.Items {
		ingress := &all.Items[i]
		if ingressgen.OptedIn(ingress) && hasHost(ingress, host) {
			found = append(found, asWritten(ingress))
		}
	}
	return found, nil
}

func hasHost(ingress *networkingv1.Ingress, host migration.Host) bool {
	for _, rule := range ingress.Spec.Rules {
		if migration.Host(rule.Host) == host {
			return true
		}
	}
	return false
}

func (c InCluster) lines(ctx context.Context, seconds int64, receive func(line []byte)) error {
	return podLines(ctx, c.Installation, seconds, receive)
}

// Local is a proxy that serves a local file.
type Local struct {
	File       string // the config
	RuntimeDir string // of the proxy
	Proxy      oneproxy.Proxy
}

func (l Local) table(context.Context) (*migration.Table, error) {
	return configfile.Load(l.File, nil)
}

func (l Local) rows(ctx context.Context, service string) ([]finish.Replica, error) {
	document, _, err := l.Proxy.Status(ctx)
	return []finish.Replica{rowOf(l.Proxy.Address(), document, err, service)}, nil
}

func (l Local) journal(context.Context) (journal.Journal, error) {
	return localjournal.Read(l.RuntimeDir)
}

func (Local) ingresses(context.Context, migration.Host) ([]*networkingv1.Ingress, error) {
	return nil, nil
}

func (Local) lines(context.Context, int64, func([]byte)) error {
	return fmt.Errorf("the access log is on the proxy's standard output")
}

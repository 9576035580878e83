package finish

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/finish"
	"github.com/migration-proxy/migration-proxy/migration"
)

// Options are what a person may want of the checklist.
type Options struct {
	Service    migration.Name
	Quiet      time.Duration
	Paths      []string // to ask new for, as well as path_prefix
	Host       string   // for a wildcard old_host: one of its hosts
	NewAddress string   // where clients will reach new; "" is new_backend
	CAFile     string   // its certificates are trusted as well as the system's
	DNSServer  string   // "" is that of this machine
	TXTPrefix  string   // --txt-prefix of external-dns
}

// ErrNotFinished says that an item is not ticked.
var ErrNotFinished = errors.New("not everything is done")

// Show prints the checklist, and gives ErrNotFinished if an item is not ticked.
func Show(ctx context.Context, w io.Writer, from Source, options Options, format Format) error {
	facts, err := collect(ctx, from, &options)
	if err != nil {
		return err
	}
	items := finish.Check(facts)
	if err := write(w, facts, items, format); err != nil {
		return err
	}
	if !finish.AllDone(items) {
		return ErrNotFinished
	}
	if format == Table {
		return writeNext(ctx, w, from, facts)
	}
	return nil
}

// service finds the service, and the host to ask for.
func service(ctx context.Context, from Source, options *Options) (*migration.Service, error) {
	table, err := from.table(ctx)
	if err != nil {
		return nil, err
	}
	found, err := table.Lookup(options.Service)
	if err != nil {
		return nil, err
	}
	switch {
	case options.Host != "":
	case strings.Contains(string(found.OldHost), "*"):
		return nil, fmt.Errorf("old_host %s is a wildcard: name one of its hosts with --host", found.OldHost)
	default:
		options.Host = string(found.OldHost)
	}
	return found, nil
}

// collect asks everybody.
func collect(ctx context.Context, from Source, options *Options) (finish.Facts, error) {
	s, err := service(ctx, from, options)
	if err != nil {
		return finish.Facts{}, err
	}
	facts := finish.Facts{Now: time.Now(), Quiet: options.Quiet, Service: s, Host: options.Host}
	if facts.Replicas, err = from.rows(ctx, string(s.Name)); err != nil {
		return facts, err
	}
	if facts.Journal, err = from.journal(ctx); err != nil {
		facts.JournalErr = err.Error()
	}
	a, err := newAsker(s, *options)
	if err != nil {
		return facts, err
	}
	if facts.Unreachable = a.unreachable(ctx); facts.Unreachable == "" {
		facts.Certificate = a.certificate(ctx)
		facts.Answers = a.answers(ctx, append([]string{string(s.PathPrefix)}, options.Paths...))
	}
	server, err := newNameServer(options.DNSServer)
	if err != nil {
		facts.DNS.Failure, facts.DNS.OwnersFailure = err.Error(), err.Error()
		return facts, nil
	}
	facts.DNS = server.lookUp(ctx, options.Host, options.TXTPrefix)
	return facts, nil
}

// Manifest prints an object for the new cluster. What it cannot say is a comment, and
// ErrUnsaid.
func Manifest(ctx context.Context, w io.Writer, from Source, request ManifestRequest) error {
	options := Options{Service: request.Service, Host: "not asked"}
	s, err := service(ctx, from, &options)
	if err != nil {
		return err
	}
	ingresses, err := from.ingresses(ctx, s.OldHost)
	if err != nil {
		return err
	}
	return writeManifest(w, finish.NewManifest(request.Kind, s, ingresses, request.Target))
}

// ManifestRequest is which manifest of which service.
type ManifestRequest struct {
	Service migration.Name
	Kind    finish.Kind
	Target  finish.Target
}

// optOut are the commands that end the migration.
func optOut(ingresses []*networkingv1.Ingress, err error) []string {
	if err != nil {
		return []string{"# " + err.Error(), "kubectl --namespace NAMESPACE annotate ingress INGRESS migration-proxy.io/enabled-"}
	}
	var lines []string
	for _, ingress := range ingresses {
		lines = append(lines, fmt.Sprintf("kubectl --namespace %s annotate ingress %s migration-proxy.io/enabled-", ingress.Namespace, ingress.Name))
	}
	return lines
}

package world

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"

	"github.com/migration-proxy/migration-proxy/e2e/wire"
)

// The applications of a site, by the names that their answers carry.
const (
	Old = "old"
	New = "new"
)

// Site is a scenario's own part of the cluster: a namespace with an
// application that has an old and a new home, and a service for it in the
// migration config. The new one speaks https and is asked for by NewHost.
type Site struct {
	*Cluster
	t         T
	Namespace string
	Service   string // in the migration config
	Host      string
	NewHost   string
	entries   []string // in the migration config
}

// NewSite makes a site for a scenario and removes it at its end. When the
// scenario has failed, what is there is printed first.
func (c *Cluster) NewSite(t T) *Site {
	t.Helper()
	name := label(t.Name())
	s := &Site{Cluster: c, t: t, Service: name, Host: name + ".example.com", NewHost: name + ".new.example.com"}
	s.Namespace = "e2e-" + name + "-" + rand.String(4)
	must(t, c.createNamespace(t.Context(), s.Namespace), "create namespace %s", s.Namespace)
	t.Cleanup(s.remove)
	must(t, c.awaitServiceAccount(t.Context(), s.Namespace), "new namespace")
	must(t, errors.Join(
		c.appear(t.Context(), actor{namespace: s.Namespace, name: Old, port: wire.TrafficPort, args: []string{"backend", "--name", Old}}),
		c.appear(t.Context(), actor{namespace: s.Namespace, name: New, port: wire.TLSPort, args: []string{"backend", "--name", New, "--tls"}}),
	), "the applications of %s", s.Namespace)
	Await(t, "both applications", func(ctx context.Context) error {
		return errors.Join(c.ready(ctx, s.Namespace, Old), c.ready(ctx, s.Namespace, New))
	})
	// After an outage of the API server its controllers wait for up to a minute.
	AwaitFor(t, 2*Patience, "other pods find both applications", func(ctx context.Context) error {
		return errors.Join(s.found(ctx, Old, wire.TrafficPort), s.found(ctx, New, wire.TLSPort))
	})
	return s
}

// found gives nil if the clients reach an application by its name. (That what
// they get is no plain HTTP does not matter.) It takes a while on a busy
// cluster, and the proxy would count it as a failure.
func (s *Site) found(ctx context.Context, application string, port int) error {
	load := wire.Load{Target: fmt.Sprintf("%s.%s.svc.cluster.local:%d", application, s.Namespace, port), Host: s.Host, Path: "/", Requests: 1}
	var report wire.Report
	err := s.ask(ctx, question{namespace: stageNamespace, pod: trafficName, path: wire.PathRun, body: load}, &report)
	if err == nil && len(report.Statuses) == 0 {
		err = fmt.Errorf("%s: %v", load.Target, report.Failures)
	}
	return err
}

func (s *Site) remove() {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	if s.t.Failed() {
		s.t.Logf("%s", s.Describe(ctx))
	}
	err := errors.Join(
		s.EditConfig(ctx, s.unconfigured),
		s.Client.CoreV1().Namespaces().Delete(ctx, s.Namespace, metav1.DeleteOptions{}),
	)
	if err != nil {
		s.t.Errorf("remove site %s: %v", s.Namespace, err)
	}
}

// OldBackend and NewBackend are the addresses that the migration config has.
func (s *Site) OldBackend() string {
	return fmt.Sprintf("%s.%s.svc.cluster.local:%d", Old, s.Namespace, wire.TrafficPort)
}

// NewBackend is https, with a certificate that nobody checks.
func (s *Site) NewBackend() string {
	return fmt.Sprintf("https://%s.%s.svc.cluster.local:%d", New, s.Namespace, wire.TLSPort)
}

// ServiceText is the site's service in the migration config, with a percentage
// and more lines.
func (s *Site) ServiceText(percent int, more ...string) string {
	return s.TextOf(s.Service, s.Host, percent, more...)
}

// TextOf is the entry of any service for the site's applications.
func (s *Site) TextOf(name, host string, percent int, more ...string) string {
	return fmt.Sprintf(`  - name: %s
    old_host: "%s"
    old_backend: %s
    new_host: %s
    new_backend: %s
    tls: {verify: false}
    migration:
      enabled: true
      strategy: weight
      percentage: %d  # of %s
%s`, name, host, s.OldBackend(), s.NewHost, s.NewBackend(), percent, name, indented(more))
}

// indented puts lines at the depth of a service's keys.
func indented(lines []string) string {
	var text strings.Builder
	for _, line := range lines {
		fmt.Fprintf(&text, "    %s\n", line)
	}
	return text.String()
}

// Configure writes the service into the migration config, in place of what it
// had there.
func (s *Site) Configure(percent int, more ...string) {
	s.t.Helper()
	s.ConfigureAs(s.Service, s.ServiceText(percent, more...))
}

// ConfigureAs writes any service's text into the migration config. It goes
// with the site.
func (s *Site) ConfigureAs(name, text string) {
	s.t.Helper()
	s.entries = append(s.entries, name)
	must(s.t, s.EditConfig(s.t.Context(), func(all string) string { return With(all, name, text) }), "configure %s", name)
}

// Unconfigure takes the site's entries out of the migration config.
func (s *Site) Unconfigure() {
	s.t.Helper()
	must(s.t, s.EditConfig(s.t.Context(), s.unconfigured), "unconfigure %s", s.Service)
}

// unconfigured is the migration config without the site's entries.
func (s *Site) unconfigured(text string) string {
	for _, name := range s.entries {
		text = without(text, name)
	}
	return text
}

// Path is one path of an Ingress, of type Prefix, to a Service.
func Path(path, service string, port int32) networkingv1.HTTPIngressPath {
	return networkingv1.HTTPIngressPath{
		Path: path, PathType: new(networkingv1.PathTypePrefix),
		Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{
			Name: service, Port: networkingv1.ServiceBackendPort{Number: port},
		}},
	}
}

// Rule is one rule of an Ingress.
func Rule(host string, paths ...networkingv1.HTTPIngressPath) networkingv1.IngressRule {
	return networkingv1.IngressRule{Host: host, IngressRuleValue: networkingv1.IngressRuleValue{
		HTTP: &networkingv1.HTTPIngressRuleValue{Paths: paths},
	}}
}

func (s *Site) plainIngress(name string) *networkingv1.Ingress {
	return &networkingv1.Ingress{
		TypeMeta:   metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "Ingress"},
		ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: name},
		Spec: networkingv1.IngressSpec{
			IngressClassName: new(IngressClass),
			Rules:            []networkingv1.IngressRule{Rule(s.Host, Path("/", Old, wire.TrafficPort))},
		},
	}
}

// Ingress creates an Ingress of the stage's class, for the site's host and its
// old application, changed by what is given.
func (s *Site) Ingress(name string, change ...func(*networkingv1.Ingress)) {
	s.t.Helper()
	ingress := s.plainIngress(name)
	for _, one := range change {
		one(ingress)
	}
	_, err := s.Client.NetworkingV1().Ingresses(s.Namespace).Create(s.t.Context(), ingress, metav1.CreateOptions{})
	must(s.t, err, "create ingress %s", name)
}

// Fail tells one of the applications how to fail from now on; wire.Outage{}
// ends it.
func (s *Site) Fail(application string, outage wire.Outage) {
	s.t.Helper()
	err := s.ask(s.t.Context(), question{namespace: s.Namespace, pod: application, path: wire.PathOutage, body: outage}, &wire.Outage{})
	must(s.t, err, "tell %s to fail", application)
}

// Counts is what one of the applications was asked so far.
func (s *Site) Counts(application string) wire.Counts {
	s.t.Helper()
	var counts wire.Counts
	err := s.ask(s.t.Context(), question{namespace: s.Namespace, pod: application, path: wire.PathCounts}, &counts)
	must(s.t, err, "counts of %s", application)
	return counts
}

// Events gives the events of a kind of object in a namespace that have the
// reason, oldest first.
func (c *Cluster) Events(ctx context.Context, namespace, kind, reason string) ([]corev1.Event, error) {
	list, err := c.Client.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	var found []corev1.Event
	for _, event := range list.Items {
		if event.InvolvedObject.Kind == kind && event.Reason == reason {
			found = append(found, event)
		}
	}
	return found, nil
}

// AwaitEvent waits for an Event about an object whose message contains a text.
func (c *Cluster) AwaitEvent(t T, namespace, kind, reason, text string) {
	t.Helper()
	Await(t, fmt.Sprintf("event %s on a %s of %s with %q", reason, kind, namespace, text), func(ctx context.Context) error {
		events, err := c.Events(ctx, namespace, kind, reason)
		for _, event := range events {
			if strings.Contains(event.Message, text) {
				return nil
			}
		}
		return errors.Join(err, fmt.Errorf("%d others with that reason", len(events)))
	})
}

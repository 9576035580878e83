package world

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/rand"

	"github.com/migration-proxy/migration-proxy/e2e/wire"
)

// The backends of an App, by the names in their answers.
const (
	Old = "old"
	New = "new"
)

// App is an application under migration that belongs to one scenario: a namespace with
// an old and a new backend, and a service in the migration config. The new backend
// speaks https and expects NewHost.
type App struct {
	*Cluster
	t         T
	Namespace string
	Service   string // in the migration config
	Host      string
	NewHost   string
	// Class is the class of its Ingresses, see Behind.
	Class     string
	target    string   // HOST:PORT of the controller
	tlsTarget string   // its HOST:PORT with TLS; "": it has none
	reloads   bool     // the controller ends kept connections
	entries   []string // names of its services in the migration config
}

// NewApp creates an App and removes it at the end of the scenario. If the scenario
// failed, it prints the state of the cluster first.
func (c *Cluster) NewApp(t T) *App {
	t.Helper()
	name := label(t.Name())
	s := &App{Cluster: c, t: t, Service: name, Host: name + ".example.com", NewHost: name + ".new.example.com"}
	s.Behind(wire.Plain)
	s.Namespace = "e2e-" + name + "-" + rand.String(4)
	must(t, c.createNamespace(t.Context(), s.Namespace), "create namespace %s", s.Namespace)
	t.Cleanup(s.remove)
	must(t, c.waitForServiceAccount(t.Context(), s.Namespace), "create namespace")
	must(t, errors.Join(
		c.createActor(t.Context(), actor{namespace: s.Namespace, name: Old, port: wire.TrafficPort, args: []string{"backend", "--name", Old}}),
		c.createActor(t.Context(), actor{namespace: s.Namespace, name: New, port: wire.TLSPort, args: []string{"backend", "--name", New, "--tls"}}),
	), "create the backends of %s", s.Namespace)
	Eventually(t, "both backends", func(ctx context.Context) error {
		return errors.Join(c.ready(ctx, s.Namespace, Old), c.ready(ctx, s.Namespace, New))
	})
	// After an outage of the API server controllers wait for up to a minute.
	EventuallyWithin(t, 2*Timeout, "clients reach both backends", func(ctx context.Context) error {
		return errors.Join(s.reachable(ctx, Old, wire.TrafficPort), s.reachable(ctx, New, wire.TLSPort))
	})
	return s
}

// Behind makes the App use the controller with the habits of a persona.
func (s *App) Behind(persona string) {
	class := ClassOf(persona)
	s.Class, s.target, s.reloads = class.Name, controllerAddress(class), persona == wire.IngressNginx
}

// ControllersVariable names the controllers that an existing cluster has, as
// CLASS=HOST:PORT,CLASS=HOST:PORT.
const ControllersVariable = "MIGRATION_PROXY_E2E_CONTROLLERS"

// InstalledControllers gives the addresses in ControllersVariable by class.
func InstalledControllers() map[string]string {
	found := map[string]string{}
	for one := range strings.SplitSeq(os.Getenv(ControllersVariable), ",") {
		if class, address, is := strings.Cut(one, "="); is {
			found[class] = address
		}
	}
	return found
}

// BehindInstalled makes the App use a controller that the cluster has.
func (s *App) BehindInstalled(class, address string) {
	s.Class, s.target, s.reloads = class, address, true
}

// reachable gives nil if the clients reach a backend by its name; it does not matter
// that new answers plain HTTP with an error. On a busy cluster this takes a while, and
// the proxy would count failures until then.
func (s *App) reachable(ctx context.Context, application string, port int) error {
	load := wire.Load{Target: fmt.Sprintf("%s.%s.svc.cluster.local:%d", application, s.Namespace, port), Host: s.Host, Path: "/", Requests: 1}
	var report wire.Report
	err := s.callActor(ctx, actorRequest{namespace: actorNamespace, pod: trafficName, path: wire.PathRun, body: load}, &report)
	if err == nil && len(report.Statuses) == 0 {
		err = fmt.Errorf("%s: %v", load.Target, report.Failures)
	}
	return err
}

func (s *App) remove() {
	ctx, cancel := context.WithTimeout(context.Background(), Timeout)
	defer cancel()
	if s.t.Failed() {
		s.t.Logf("%s", s.Describe(ctx))
	}
	err := errors.Join(
		s.EditConfig(ctx, s.unconfigured),
		s.Client.CoreV1().Namespaces().Delete(ctx, s.Namespace, metav1.DeleteOptions{}),
	)
	if err != nil {
		s.t.Errorf("remove app %s: %v", s.Namespace, err)
	}
}

// OldBackend is the address of old in the migration config.
func (s *App) OldBackend() string { return s.addressOf(Old) }

func (s *App) addressOf(service string) string {
	return fmt.Sprintf("%s.%s.svc.cluster.local:%d", service, s.Namespace, wire.TrafficPort)
}

// ConfigureBehind is ConfigureAs for a host whose Ingress names another Service of old.
func (s *App) ConfigureBehind(service, host string, percent int, more ...string) {
	s.t.Helper()
	name := s.Service + "-" + service
	s.ConfigureAs(name, strings.Replace(s.TextOf(name, host, percent, more...), s.OldBackend(), s.addressOf(service), 1))
}

// NewBackend is the address of new in the migration config: https, with a certificate
// that is not checked.
func (s *App) NewBackend() string {
	return fmt.Sprintf("https://%s.%s.svc.cluster.local:%d", New, s.Namespace, wire.TLSPort)
}

// ServiceText is the App's service in the migration config, with a percentage and
// additional lines.
func (s *App) ServiceText(percent int, more ...string) string {
	return s.TextOf(s.Service, s.Host, percent, more...)
}

// TextOf is a service in the migration config for the App's backends, with any name
// and host.
func (s *App) TextOf(name, host string, percent int, more ...string) string {
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

// indented indents lines to the level of a service's keys.
func indented(lines []string) string {
	var text strings.Builder
	for _, line := range lines {
		fmt.Fprintf(&text, "    %s\n", line)
	}
	return text.String()
}

// Configure writes the App's service into the migration config, or replaces it.
func (s *App) Configure(percent int, more ...string) {
	s.t.Helper()
	s.ConfigureAs(s.Service, s.ServiceText(percent, more...))
}

// ConfigureAs writes a service into the migration config. It is removed with the App.
func (s *App) ConfigureAs(name, text string) {
	s.t.Helper()
	s.entries = append(s.entries, name)
	must(s.t, s.EditConfig(s.t.Context(), func(all string) string { return With(all, name, text) }), "configure %s", name)
}

// ConfigureAll is ConfigureAs for several services, by name, in one edit.
func (s *App) ConfigureAll(texts map[string]string) {
	s.t.Helper()
	names := slices.Sorted(maps.Keys(texts))
	s.entries = append(s.entries, names...)
	must(s.t, s.EditConfig(s.t.Context(), func(all string) string {
		for _, name := range names {
			all = With(all, name, texts[name])
		}
		return all
	}), "configure %d services", len(names))
}

// Unconfigure removes the App's services from the migration config.
func (s *App) Unconfigure() {
	s.t.Helper()
	must(s.t, s.EditConfig(s.t.Context(), s.unconfigured), "unconfigure %s", s.Service)
}

// unconfigured is the migration config without the App's services.
func (s *App) unconfigured(text string) string {
	for _, name := range s.entries {
		text = without(text, name)
	}
	return text
}

// Path is a path of an Ingress, of type Prefix, to a Service.
func Path(path, service string, port int32) networkingv1.HTTPIngressPath {
	return networkingv1.HTTPIngressPath{
		Path: path, PathType: new(networkingv1.PathTypePrefix),
		Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{
			Name: service, Port: networkingv1.ServiceBackendPort{Number: port},
		}},
	}
}

// Rule is a rule of an Ingress.
func Rule(host string, paths ...networkingv1.HTTPIngressPath) networkingv1.IngressRule {
	return networkingv1.IngressRule{Host: host, IngressRuleValue: networkingv1.IngressRuleValue{
		HTTP: &networkingv1.HTTPIngressRuleValue{Paths: paths},
	}}
}

func (s *App) plainIngress(name string) *networkingv1.Ingress {
	return &networkingv1.Ingress{
		TypeMeta:   metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "Ingress"},
		ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: name},
		Spec: networkingv1.IngressSpec{
			IngressClassName: new(s.Class),
			Rules:            []networkingv1.IngressRule{Rule(s.Host, Path("/", Old, wire.TrafficPort))},
		},
	}
}

// Ingress creates an Ingress for the App's host and its old backend, with changes.
func (s *App) Ingress(name string, change ...func(*networkingv1.Ingress)) {
	s.t.Helper()
	ingress := s.plainIngress(name)
	for _, one := range change {
		one(ingress)
	}
	_, err := s.Client.NetworkingV1().Ingresses(s.Namespace).Create(s.t.Context(), ingress, metav1.CreateOptions{})
	must(s.t, err, "create ingress %s", name)
}

// Fail makes a backend fail from now on; wire.Outage{} ends the outage.
func (s *App) Fail(application string, outage wire.Outage) {
	s.t.Helper()
	err := s.callActor(s.t.Context(), actorRequest{namespace: s.Namespace, pod: application, path: wire.PathOutage, body: outage}, &wire.Outage{})
	must(s.t, err, "progress %s to fail", application)
}

// Counts gives the requests that a backend has received.
func (s *App) Counts(application string) wire.Counts {
	s.t.Helper()
	var counts wire.Counts
	err := s.callActor(s.t.Context(), actorRequest{namespace: s.Namespace, pod: application, path: wire.PathCounts}, &counts)
	must(s.t, err, "counts of %s", application)
	return counts
}

// Events gives the Events with the reason for a kind of object in a namespace.
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

// WaitForEvent waits for an Event about an object whose message contains the text.
func (c *Cluster) WaitForEvent(t T, namespace, kind, reason, text string) {
	t.Helper()
	Eventually(t, fmt.Sprintf("event %s on a %s of %s with %q", reason, kind, namespace, text), func(ctx context.Context) error {
		events, err := c.Events(ctx, namespace, kind, reason)
		for _, event := range events {
			if strings.Contains(event.Message, text) {
				return nil
			}
		}
		return errors.Join(err, fmt.Errorf("%d other events with that reason", len(events)))
	})
}

// Neighbors creates Ingresses of other hosts, which share the App's controller. Each
// names a Service of its own, because only the switch itself may keep old known.
func (s *App) Neighbors(number int) {
	s.t.Helper()
	for i := range number {
		name := fmt.Sprintf("neighbor-%d", i)
		ingress := s.plainIngress(name)
		ingress.Spec.Rules[0].Host = name + "." + s.Host
		ingress.Spec.Rules[0].HTTP.Paths[0].Backend.Service.Name = name
		_, err := s.Client.NetworkingV1().Ingresses(s.Namespace).Create(s.t.Context(), ingress, metav1.CreateOptions{})
		must(s.t, err, "create ingress %s", name)
	}
}

// Alias creates another Service of a backend, with annotations in pairs of name and value.
func (s *App) Alias(name, application string, annotations ...string) {
	s.t.Helper()
	service := actor{namespace: s.Namespace, name: application, port: wire.TrafficPort}.service()
	service.Name, service.Annotations = name, map[string]string{}
	for i := 0; i+1 < len(annotations); i += 2 {
		service.Annotations[annotations[i]] = annotations[i+1]
	}
	_, err := s.Client.CoreV1().Services(s.Namespace).Create(s.t.Context(), service, metav1.CreateOptions{})
	must(s.t, err, "create service %s", name)
}

// External creates a Service of type ExternalName for a backend of another namespace, or
// of this one. Clients of its port are led to the target port.
func (s *App) External(name, application string, port, targetPort int32) {
	s.t.Helper()
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: name},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeExternalName, ExternalName: application + "." + s.Namespace + ".svc.cluster.local",
			Ports: []corev1.ServicePort{{Port: port, TargetPort: intstr.FromInt32(targetPort)}},
		},
	}
	_, err := s.Client.CoreV1().Services(s.Namespace).Create(s.t.Context(), service, metav1.CreateOptions{})
	must(s.t, err, "create service %s", name)
}

// Backend creates a further application, which answers plain HTTP with its name.
func (s *App) Backend(name string) {
	s.t.Helper()
	s.addBackend(actor{name: name, port: wire.TrafficPort, args: []string{"backend", "--name", name}})
}

// SecureBackend creates a further application, which takes TLS at port https of its Service,
// and answers with another name.
func (s *App) SecureBackend(name, answers string) {
	s.t.Helper()
	s.addBackend(actor{name: name, port: wire.TLSPort, portName: "https", args: []string{"backend", "--name", answers, "--tls"}})
}

func (s *App) addBackend(one actor) {
	s.t.Helper()
	one.namespace = s.Namespace
	must(s.t, s.createActor(s.t.Context(), one), "create backend %s", one.name)
	Eventually(s.t, one.name, func(ctx context.Context) error { return s.ready(ctx, s.Namespace, one.name) })
}

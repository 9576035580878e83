package world

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// volatile are the fields that change with each write.
var volatile = []string{"resourceVersion", "generation", "managedFields"}

// IngressJSON gives an Ingress as the API server stores it, as canonical JSON without
// volatile fields. Equal texts mean equal objects, also in fields that our Go types do
// not have.
func (s *App) IngressJSON(name string) string {
	s.t.Helper()
	text, err := s.ingressJSON(s.t.Context(), name)
	must(s.t, err, "get ingress %s", name)
	return text
}

func (s *App) ingressJSON(ctx context.Context, name string) (string, error) {
	raw, err := s.Client.NetworkingV1().RESTClient().Get().Namespace(s.Namespace).Resource("ingresses").Name(name).
		SetHeader("Accept", "application/json").DoRaw(ctx)
	if err != nil {
		return "", err
	}
	var object map[string]any
	if err := json.Unmarshal(raw, &object); err != nil {
		return "", err
	}
	delete(object, "status") // the controller's
	metadata, _ := object["metadata"].(map[string]any)
	for _, field := range volatile {
		delete(metadata, field)
	}
	if annotations, _ := metadata["annotations"].(map[string]any); len(annotations) == 0 {
		delete(metadata, "annotations") // the API server treats {} and no annotations as equal
	}
	canonical, err := json.MarshalIndent(object, "", " ")
	return string(canonical), err
}

// GetIngress gives the current Ingress.
func (s *App) GetIngress(name string) *networkingv1.Ingress {
	s.t.Helper()
	ingress, err := s.Client.NetworkingV1().Ingresses(s.Namespace).Get(s.t.Context(), name, metav1.GetOptions{})
	must(s.t, err, "get ingress %s", name)
	return ingress
}

// WaitForIngress waits until the function accepts the Ingress.
func (s *App) WaitForIngress(name, what string, want func(*networkingv1.Ingress) error) {
	s.t.Helper()
	Eventually(s.t, fmt.Sprintf("ingress %s: %s", name, what), func(ctx context.Context) error {
		ingress, err := s.Client.NetworkingV1().Ingresses(s.Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		return want(ingress)
	})
}

// WaitForNoIngress waits until the Ingress does not exist.
func (s *App) WaitForNoIngress(name string) {
	s.t.Helper()
	Eventually(s.t, "no ingress "+name, func(ctx context.Context) error {
		_, err := s.Client.NetworkingV1().Ingresses(s.Namespace).Get(ctx, name, metav1.GetOptions{})
		return Gone(err)
	})
}

// Backend gives "SERVICE:PORT" of a path, with rule and path counted from 0; "" when
// there is none.
func Backend(ingress *networkingv1.Ingress, rule, path int) string {
	if rule >= len(ingress.Spec.Rules) || ingress.Spec.Rules[rule].HTTP == nil || path >= len(ingress.Spec.Rules[rule].HTTP.Paths) {
		return ""
	}
	service := ingress.Spec.Rules[rule].HTTP.Paths[path].Backend.Service
	if service == nil {
		return ""
	}
	if service.Port.Name != "" {
		return service.Name + ":" + service.Port.Name
	}
	return fmt.Sprintf("%s:%d", service.Name, service.Port.Number)
}

// Rewritten tells whether a backend, as Backend gives it, is that of a migrated path.
func Rewritten(backend string) bool { return strings.HasPrefix(backend, ProxyService+"-") }

// ProxyOf gives the name of the proxy Service of Ingress shop's first path, which must be
// migrated.
func (s *App) ProxyOf(name string) string {
	s.t.Helper()
	service, _, _ := strings.Cut(Backend(s.GetIngress(name), 0, 0), ":")
	return service
}

// Annotation gives the value of one of our annotations.
func Annotation(ingress *networkingv1.Ingress, name string) string {
	return ingress.Annotations[Annotations+name]
}

// InPhase checks the phase annotation of an Ingress, and that its first path leads to
// the proxy only in phase Migrating.
func InPhase(phase string) func(*networkingv1.Ingress) error {
	return func(ingress *networkingv1.Ingress) error {
		got, backend := Annotation(ingress, "phase"), Backend(ingress, 0, 0)
		if got != phase || Rewritten(backend) != (phase == "Migrating") {
			return fmt.Errorf("phase %q (%s), backend %s", got, Annotation(ingress, "reason"), backend)
		}
		return nil
	}
}

// WaitForPhase waits until an Ingress of mode proxy is in the phase.
func (s *App) WaitForPhase(name, phase string) {
	s.t.Helper()
	s.WaitForIngress(name, "phase "+phase, InPhase(phase))
}

// WaitForShare waits until the share annotation of an Ingress has the percentage.
func (s *App) WaitForShare(name string, percent int) {
	s.t.Helper()
	s.WaitForIngress(name, fmt.Sprintf("share %d", percent), func(ingress *networkingv1.Ingress) error {
		if got := Annotation(ingress, "share"); got != strconv.Itoa(percent) {
			return fmt.Errorf("it is %q", got)
		}
		return nil
	})
}

// Migrate creates Ingress shop, configures the service and opts in. It waits until
// clients see the percentage.
func (s *App) Migrate(percent int, more ...string) {
	s.t.Helper()
	s.Ingress("shop")
	s.Configure(percent, more...)
	s.OptIn("shop")
	s.WaitForPhase("shop", "Migrating")
	s.WaitForSplit(float64(percent))
}

// WaitForIngressJSON waits until IngressJSON gives the wanted text.
func (s *App) WaitForIngressJSON(name, want string) {
	s.t.Helper()
	Eventually(s.t, "ingress "+name+" has its former JSON", func(ctx context.Context) error {
		got, err := s.ingressJSON(ctx, name)
		if err == nil && got != want {
			err = fmt.Errorf("want\n%s\ngot\n%s", want, got)
		}
		return err
	})
}

// OptIn annotates an Ingress as a user does.
func (s *App) OptIn(name string, more ...string) string {
	s.t.Helper()
	args := []string{"annotate", "ingress", name, "--namespace", s.Namespace, Annotations + "enabled=true", "--overwrite"}
	return s.Kubectl(s.t, append(args, more...)...)
}

// OptOut removes the annotation.
func (s *App) OptOut(name string) {
	s.t.Helper()
	s.Kubectl(s.t, "annotate", "ingress", name, "--namespace", s.Namespace, Annotations+"enabled-")
}

// Generated lists the annotations that we have written to an Ingress.
func Generated(ingress *networkingv1.Ingress) []string {
	var found []string
	for name := range ingress.Annotations {
		if rest, ours := strings.CutPrefix(name, Annotations); ours && rest != "enabled" && rest != "service" && rest != "mode" {
			found = append(found, name)
		}
	}
	return found
}

// Manifest is an Ingress as in a user's file, for the App's host and its old backend.
// change may be nil.
func (s *App) Manifest(name string, change func(*networkingv1.Ingress)) string {
	s.t.Helper()
	ingress := s.plainIngress(name)
	if change != nil {
		change(ingress)
	}
	text, err := yaml.Marshal(ingress)
	must(s.t, err, "marshal the manifest of %s", name)
	return string(text)
}

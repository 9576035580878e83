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

// volatile are the fields that any write changes, and that no user writes.
var volatile = []string{"resourceVersion", "generation", "managedFields"}

// Written gives an Ingress as the API server stores it, as canonical JSON,
// without the fields that any write changes. Two equal texts are the same
// object, also in fields that our types do not know.
func (s *Site) Written(name string) string {
	s.t.Helper()
	text, err := s.written(s.t.Context(), name)
	must(s.t, err, "get ingress %s", name)
	return text
}

func (s *Site) written(ctx context.Context, name string) (string, error) {
	raw, err := s.Client.NetworkingV1().RESTClient().Get().Namespace(s.Namespace).Resource("ingresses").Name(name).
		SetHeader("Accept", "application/json").DoRaw(ctx)
	if err != nil {
		return "", err
	}
	var object map[string]any
	if err := json.Unmarshal(raw, &object); err != nil {
		return "", err
	}
	metadata, _ := object["metadata"].(map[string]any)
	for _, field := range volatile {
		delete(metadata, field)
	}
	if annotations, _ := metadata["annotations"].(map[string]any); len(annotations) == 0 {
		delete(metadata, "annotations") // {} and nothing are the same to the API server
	}
	canonical, err := json.MarshalIndent(object, "", " ")
	return string(canonical), err
}

// GetIngress gives an Ingress as it is.
func (s *Site) GetIngress(name string) *networkingv1.Ingress {
	s.t.Helper()
	ingress, err := s.Client.NetworkingV1().Ingresses(s.Namespace).Get(s.t.Context(), name, metav1.GetOptions{})
	must(s.t, err, "get ingress %s", name)
	return ingress
}

// AwaitIngress waits until an Ingress is as the function wants it.
func (s *Site) AwaitIngress(name, what string, want func(*networkingv1.Ingress) error) {
	s.t.Helper()
	Await(s.t, fmt.Sprintf("ingress %s: %s", name, what), func(ctx context.Context) error {
		ingress, err := s.Client.NetworkingV1().Ingresses(s.Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		return want(ingress)
	})
}

// AwaitGone waits until there is no such Ingress.
func (s *Site) AwaitGone(name string) {
	s.t.Helper()
	Await(s.t, "no ingress "+name, func(ctx context.Context) error {
		_, err := s.Client.NetworkingV1().Ingresses(s.Namespace).Get(ctx, name, metav1.GetOptions{})
		return Gone(err)
	})
}

// Backend gives "SERVICE:PORT" of an Ingress's path, rule and path counted
// from 0; "" when it has none.
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

// Rewritten is how a path that is migrated looks.
const Rewritten = ProxyService + ":80"

// Annotation gives one of our annotations.
func Annotation(ingress *networkingv1.Ingress, name string) string {
	return ingress.Annotations[Annotations+name]
}

// InPhase wants an Ingress whose first path crosses the proxy exactly if the
// phase is Migrating, and whose annotation says so.
func InPhase(phase string) func(*networkingv1.Ingress) error {
	return func(ingress *networkingv1.Ingress) error {
		got, backend := Annotation(ingress, "phase"), Backend(ingress, 0, 0)
		if got != phase || (backend == Rewritten) != (phase == "Migrating") {
			return fmt.Errorf("phase %q (%s), backend %s", got, Annotation(ingress, "reason"), backend)
		}
		return nil
	}
}

// AwaitPhase waits until an Ingress of mode proxy is in the phase.
func (s *Site) AwaitPhase(name, phase string) {
	s.t.Helper()
	s.AwaitIngress(name, "phase "+phase, InPhase(phase))
}

// AwaitShare waits until an Ingress says the percentage.
func (s *Site) AwaitShare(name string, percent int) {
	s.t.Helper()
	s.AwaitIngress(name, fmt.Sprintf("share %d", percent), func(ingress *networkingv1.Ingress) error {
		if got := Annotation(ingress, "share"); got != strconv.Itoa(percent) {
			return fmt.Errorf("it is %q", got)
		}
		return nil
	})
}

// Migrate creates Ingress shop, configures the site's service and opts in; it
// waits until clients see the percentage.
func (s *Site) Migrate(percent int, more ...string) {
	s.t.Helper()
	s.Ingress("shop")
	s.Configure(percent, more...)
	s.OptIn("shop")
	s.AwaitPhase("shop", "Migrating")
	s.AwaitSplit(float64(percent))
}

// AwaitWritten waits until an Ingress is again what Written gave.
func (s *Site) AwaitWritten(name, want string) {
	s.t.Helper()
	Await(s.t, "ingress "+name+" as its user wrote it", func(ctx context.Context) error {
		got, err := s.written(ctx, name)
		if err == nil && got != want {
			err = fmt.Errorf("want\n%s\ngot\n%s", want, got)
		}
		return err
	})
}

// OptIn annotates an Ingress as a user does.
func (s *Site) OptIn(name string, more ...string) string {
	s.t.Helper()
	args := []string{"annotate", "ingress", name, "--namespace", s.Namespace, Annotations + "enabled=true", "--overwrite"}
	return s.Kubectl(s.t, append(args, more...)...)
}

// OptOut takes the annotation away.
func (s *Site) OptOut(name string) {
	s.t.Helper()
	s.Kubectl(s.t, "annotate", "ingress", name, "--namespace", s.Namespace, Annotations+"enabled-")
}

// Ours lists what an Ingress carries of ours, but what its user may write.
func Ours(ingress *networkingv1.Ingress) []string {
	var found []string
	for name := range ingress.Annotations {
		if rest, ours := strings.CutPrefix(name, Annotations); ours && rest != "enabled" && rest != "service" && rest != "mode" {
			found = append(found, name)
		}
	}
	return found
}

// Manifest is an Ingress as a user's file has it: for the site's host and its
// old application, changed by what is given (nil: not at all).
func (s *Site) Manifest(name string, change func(*networkingv1.Ingress)) string {
	s.t.Helper()
	ingress := s.plainIngress(name)
	if change != nil {
		change(ingress)
	}
	text, err := yaml.Marshal(ingress)
	must(s.t, err, "write the manifest of %s", name)
	return string(text)
}

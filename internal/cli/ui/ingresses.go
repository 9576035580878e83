package ui

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/cli/installation"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/page"
)

// ingresses are those with a rule for the host, with the phase and the reason that the
// watcher and admission wrote on them.
func (s *source) ingresses(ctx context.Context, host string) ([]page.Ingress, string) {
	list, err := s.in.NetworkingV1().Ingresses(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, installation.Right{Verb: "list", Resource: installation.Ingresses}.Explain(err).Error()
	}
	var found []page.Ingress
	for i := range list.Items {
		one := &list.Items[i]
		if !slices.ContainsFunc(one.Spec.Rules, func(rule networkingv1.IngressRule) bool { return rule.Host == host }) {
			continue
		}
		found = append(found, page.Ingress{
			Name: one.Namespace + "/" + one.Name, Phase: cmp.Or(one.Annotations[ingressgen.AnnotationPhase], "not opted in"),
			Reason: one.Annotations[ingressgen.AnnotationReason],
		})
	}
	if len(found) == 0 {
		return nil, fmt.Sprintf("No Ingress has a rule for host %s.", host)
	}
	return found, ""
}

// Bounds of what is asked for Events.
const (
	mostIngresses = 10
	mostEvents    = 50
)

// events are those of the migration proxy about the Ingresses, the newest first.
func (s *source) events(ctx context.Context, ingresses []page.Ingress) ([]page.Event, string) {
	var found []page.Event
	for _, ingress := range ingresses[:min(len(ingresses), mostIngresses)] {
		namespace, name, _ := strings.Cut(ingress.Name, "/")
		list, err := s.in.EventsV1().Events(namespace).List(ctx, metav1.ListOptions{FieldSelector: "regarding.kind=Ingress,regarding.name=" + name})
		if err != nil {
			return found, installation.Right{Verb: "list", Resource: "events.events.k8s.io", Namespace: namespace}.Explain(err).Error()
		}
		for i := range list.Items {
			if list.Items[i].ReportingController == names.Manager {
				found = append(found, newEvent(ingress.Name, &list.Items[i]))
			}
		}
	}
	slices.SortFunc(found, func(a, b page.Event) int { return b.At.Compare(a.At) })
	if len(found) == 0 {
		return nil, "None. Kubernetes keeps Events for an hour."
	}
	return found[:min(len(found), mostEvents)], ""
}

func newEvent(object string, e *eventsv1.Event) page.Event {
	at := e.EventTime.Time
	if e.Series != nil {
		at = e.Series.LastObservedTime.Time
	}
	return page.Event{At: at, Object: object, Reason: e.Reason, Text: e.Note}
}

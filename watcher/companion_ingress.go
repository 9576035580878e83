package watcher

import (
	"context"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/watcher/apiwrite"
)

// ensureCompanion makes the companion Ingress of mode canary equal to wanted.
func (r *ingressReconciler) ensureCompanion(ctx context.Context, wanted *networkingv1.Ingress) error {
	found := r.stores.ingresses.Get(kube.KeyOf(wanted))
	if found == nil {
		return r.companionWriter(wanted.Namespace).Create(ctx, wanted)
	}
	if !isOurs(found) {
		return &foreignError{"Ingress", wanted.Namespace, wanted.Name}
	}
	next := found.DeepCopy()
	for _, name := range ingressgen.CompanionAnnotations() {
		delete(next.Annotations, name)
	}
	next.Labels, next.Annotations = overlay(next.Labels, wanted.Labels), overlay(next.Annotations, wanted.Annotations)
	next.OwnerReferences, next.Spec = wanted.OwnerReferences, wanted.Spec
	if equality.Semantic.DeepEqual(found, next) {
		return nil
	}
	return r.companionWriter(next.Namespace).Update(ctx, next)
}

// deleteCompanion removes the companion of an Ingress that must have none.
func (r *ingressReconciler) deleteCompanion(ctx context.Context, ingress types.NamespacedName) error {
	found := r.stores.ingresses.Get(companionOf(ingress))
	if found == nil || !isOurs(found) {
		return nil
	}
	return r.companionWriter(found.Namespace).Delete(ctx, found)
}

func (r *ingressReconciler) companionWriter(namespace string) apiwrite.Objects[*networkingv1.Ingress] {
	return apiwrite.Objects[*networkingv1.Ingress]{
		Client: r.client.NetworkingV1().Ingresses(namespace), Store: r.stores.ingresses, Counter: r.writes, Kind: "Ingress", Counted: "Companion",
	}
}

// companionService is the Service that all of a companion points at; "" if it
// points at none.
func companionService(companion *networkingv1.Ingress) string {
	for _, rule := range companion.Spec.Rules {
		if rule.HTTP != nil && len(rule.HTTP.Paths) > 0 && rule.HTTP.Paths[0].Backend.Service != nil {
			return rule.HTTP.Paths[0].Backend.Service.Name
		}
	}
	return ""
}

package watcher

import (
	"context"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/watcher/apiwrite"
)

// ensureAnchor makes an anchor equal to wanted. From the moment when it is written
// the ingress controller needs some time until both Services are known to it.
func (r *serviceReconciler) ensureAnchor(ctx context.Context, lifecycle *serviceLifecycle, wanted *networkingv1.Ingress) error {
	found := r.stores.ingresses.Get(kube.KeyOf(wanted))
	if found == nil {
		lifecycle.created = time.Now()
		return r.anchorWriter(wanted.Namespace).Create(ctx, wanted)
	}
	if !isOurs(found) {
		return &foreignError{"Ingress", wanted.Namespace, wanted.Name}
	}
	lifecycle.sawCreation(found.CreationTimestamp.Time)
	next := found.DeepCopy()
	next.Labels, next.Annotations = overlay(next.Labels, wanted.Labels), overlay(next.Annotations, wanted.Annotations)
	next.Spec = wanted.Spec
	if equality.Semantic.DeepEqual(found, next) {
		return nil
	}
	lifecycle.created = time.Now()
	return r.anchorWriter(next.Namespace).Update(ctx, next)
}

// deleteStaleAnchors removes the anchors of classes that no Ingress has any more.
func (r *serviceReconciler) deleteStaleAnchors(ctx context.Context, wanted wantedService) error {
	for _, anchor := range r.anchors(kube.KeyOf(wanted.service)) {
		if wanted.anchors[anchor.Name] != nil {
			continue
		}
		if err := r.anchorWriter(anchor.Namespace).Delete(ctx, anchor); err != nil {
			return err
		}
	}
	return nil
}

// anchors are the anchors of a Service.
func (r *serviceReconciler) anchors(service types.NamespacedName) []*networkingv1.Ingress {
	var anchors []*networkingv1.Ingress
	for _, ingress := range r.stores.ingresses.By(indexService, service.String()) {
		if ingressgen.IsAnchor(ingress) {
			anchors = append(anchors, ingress)
		}
	}
	return anchors
}

func (r *serviceReconciler) anchorWriter(namespace string) apiwrite.Objects[*networkingv1.Ingress] {
	return apiwrite.Objects[*networkingv1.Ingress]{
		Client: r.client.NetworkingV1().Ingresses(namespace), Store: r.stores.ingresses, Counter: r.writes, Kind: "Ingress", Counted: "Anchor",
	}
}

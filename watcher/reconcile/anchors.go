package reconcile

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/watcher/apiwrite"
	"github.com/migration-proxy/migration-proxy/watcher/objects"
)

// wantedService is a Service that must exist, with its anchors by name.
type wantedService struct {
	service *corev1.Service
	anchors map[string]*networkingv1.Ingress
}

// ensureAnchor makes an anchor equal to wanted. From the moment when it is written
// the ingress controller needs some time until both Services are known to it.
func (o serviceObjects) ensureAnchor(ctx context.Context, lifecycle *serviceLifecycle, wanted *networkingv1.Ingress) error {
	found := o.stores.Ingresses.Get(kube.KeyOf(wanted))
	if found == nil {
		lifecycle.created = time.Now()
		return o.anchorWriter(wanted.Namespace).Create(ctx, wanted)
	}
	if !objects.IsOurs(found) {
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
	return o.anchorWriter(next.Namespace).Update(ctx, next)
}

// deleteStaleAnchors removes the anchors of classes that no Ingress has any more.
func (o serviceObjects) deleteStaleAnchors(ctx context.Context, wanted wantedService) error {
	for _, anchor := range o.anchors(kube.KeyOf(wanted.service)) {
		if wanted.anchors[anchor.Name] != nil {
			continue
		}
		if err := o.anchorWriter(anchor.Namespace).Delete(ctx, anchor); err != nil {
			return err
		}
	}
	return nil
}

// anchors are the anchors of a Service.
func (o serviceObjects) anchors(service types.NamespacedName) []*networkingv1.Ingress {
	var anchors []*networkingv1.Ingress
	for _, ingress := range o.stores.Ingresses.By(objects.IndexService, service.String()) {
		if ingressgen.IsAnchor(ingress) {
			anchors = append(anchors, ingress)
		}
	}
	return anchors
}

func (o serviceObjects) anchorWriter(namespace string) apiwrite.Objects[*networkingv1.Ingress] {
	return apiwrite.Objects[*networkingv1.Ingress]{
		Client: o.client.NetworkingV1().Ingresses(namespace), Store: o.stores.Ingresses, Counter: o.writes, Kind: "Ingress", Counted: "Anchor",
	}
}

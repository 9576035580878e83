package reconcile

import (
	"context"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/watcher/apiwrite"
	"github.com/migration-proxy/migration-proxy/watcher/objects"
)

// companions writes the companion Ingresses of mode canary.
type companions struct {
	client kubernetes.Interface
	stores *objects.Stores
	writes apiwrite.Counter
}

// ensure makes the companion Ingress of mode canary equal to wanted.
func (c companions) ensure(ctx context.Context, wanted *networkingv1.Ingress) error {
	found := c.stores.Ingresses.Get(kube.KeyOf(wanted))
	if found == nil {
		return c.writer(wanted.Namespace).Create(ctx, wanted)
	}
	if !objects.IsOurs(found) {
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
	return c.writer(next.Namespace).Update(ctx, next)
}

// delete removes the companion of an Ingress that must have none.
func (c companions) delete(ctx context.Context, ingress types.NamespacedName) error {
	found := c.stores.Ingresses.Get(objects.CompanionOf(ingress))
	if found == nil || !objects.IsOurs(found) {
		return nil
	}
	return c.writer(found.Namespace).Delete(ctx, found)
}

func (c companions) writer(namespace string) apiwrite.Objects[*networkingv1.Ingress] {
	return apiwrite.Objects[*networkingv1.Ingress]{
		Client: c.client.NetworkingV1().Ingresses(namespace), Store: c.stores.Ingresses, Counter: c.writes, Kind: "Ingress", Counted: "Companion",
	}
}

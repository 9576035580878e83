package watcher

import (
	"context"
	"fmt"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/names"
)

// foreignError: somebody else has the name that an object of ours must have.
type foreignError struct{ kind, namespace, name string }

// Error says what is in the way, and what to do.
func (e *foreignError) Error() string {
	return fmt.Sprintf("%s %s/%s exists and is not the migration proxy's (it lacks label %s=%s): it is left alone, "+
		"and the Ingress stays as it is; rename it", e.kind, e.namespace, e.name, names.ManagedByLabel, names.Manager)
}

// companion makes the companion Ingress of mode canary be as wanted.
func (k *keeper) companion(ctx context.Context, wanted *networkingv1.Ingress) error {
	found := k.shelf.get(keyOf(wanted))
	if found == nil {
		return k.createCompanion(ctx, wanted)
	}
	if !ours(found) {
		return &foreignError{"Ingress", wanted.Namespace, wanted.Name}
	}
	next := found.DeepCopy()
	for _, name := range ingressgen.CompanionAnnotations() {
		delete(next.Annotations, name)
	}
	next.Labels, next.Annotations = withOurs(next.Labels, wanted.Labels), withOurs(next.Annotations, wanted.Annotations)
	next.OwnerReferences, next.Spec = wanted.OwnerReferences, wanted.Spec
	if equality.Semantic.DeepEqual(found, next) {
		return nil
	}
	ctx, cancel := within(ctx)
	defer cancel()
	_, err := k.client.NetworkingV1().Ingresses(next.Namespace).Update(ctx, next, metav1.UpdateOptions{FieldManager: names.Manager})
	if k.metrics.wrote("Companion", err) != nil {
		return fmt.Errorf("write Ingress %s: %w", keyOf(next), err)
	}
	return nil
}

func (k *keeper) createCompanion(ctx context.Context, wanted *networkingv1.Ingress) error {
	ctx, cancel := within(ctx)
	defer cancel()
	_, err := k.client.NetworkingV1().Ingresses(wanted.Namespace).Create(ctx, wanted, metav1.CreateOptions{FieldManager: names.Manager})
	if k.metrics.wrote("Companion", err) != nil {
		return fmt.Errorf("create Ingress %s: %w", keyOf(wanted), err)
	}
	return nil
}

// withoutCompanion removes the companion of an Ingress that must have none.
func (k *keeper) withoutCompanion(ctx context.Context, key types.NamespacedName) error {
	name := companionOf(key)
	found := k.shelf.get(name)
	if found == nil || !ours(found) {
		return nil
	}
	ctx, cancel := within(ctx)
	defer cancel()
	err := k.client.NetworkingV1().Ingresses(name.Namespace).Delete(ctx, name.Name, exactly(found.UID))
	if apierrors.IsNotFound(err) {
		return nil
	}
	if k.metrics.wrote("Companion", err) != nil {
		return fmt.Errorf("delete Ingress %s: %w", name, err)
	}
	return nil
}

// exactly deletes this object and no later one of the same name.
func exactly(uid types.UID) metav1.DeleteOptions {
	return metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}}
}

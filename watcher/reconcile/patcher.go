package reconcile

import (
	"context"
	"encoding/json"
	"fmt"

	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/watcher/apiwrite"
	"github.com/migration-proxy/migration-proxy/watcher/fieldowners"
)

// ingressPatcher reads and patches Ingresses.
type ingressPatcher struct {
	client kubernetes.Interface
	writes apiwrite.Counter
}

// get reads an Ingress from the API server; nil: it does not exist.
func (p ingressPatcher) get(ctx context.Context, key types.NamespacedName) (*networkingv1.Ingress, error) {
	ctx, cancel := apiwrite.WithTimeout(ctx)
	defer cancel()
	ingress, err := p.client.NetworkingV1().Ingresses(key.Namespace).Get(ctx, key.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read Ingress %s: %w", key, err)
	}
	return ingress, nil
}

// patch sends the edits, each with a test of what it replaces, and then
// restores the field owners.
func (p ingressPatcher) patch(ctx context.Context, ingress *networkingv1.Ingress, edits []ingressgen.Edit) error {
	if len(edits) == 0 {
		return nil
	}
	patch, err := json.Marshal(ingressgen.WithPreconditions(ingress, edits))
	if err != nil {
		return fmt.Errorf("write Ingress %s: %w", kube.KeyOf(ingress), err)
	}
	after, err := p.sendPatch(ctx, ingress, patch)
	if p.writes.Count("Ingress", err) != nil {
		return fmt.Errorf("write Ingress %s: %w", kube.KeyOf(ingress), err)
	}
	return p.restoreManagedFields(ctx, ingress, after)
}

func (p ingressPatcher) sendPatch(ctx context.Context, ingress *networkingv1.Ingress, patch []byte) (after *networkingv1.Ingress, err error) {
	ctx, cancel := apiwrite.WithTimeout(ctx)
	defer cancel()
	return p.client.NetworkingV1().Ingresses(ingress.Namespace).Patch(
		ctx, ingress.Name, types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: names.Manager})
}

// maxRestoreAttempts bounds the attempts to restore the field owners of an
// Ingress that others write at the same time.
const maxRestoreAttempts = 4

// restoreManagedFields makes the users that applied the Ingress own their
// fields again.
//
// spec.rules is one field to server-side apply. Our patch of one backend makes
// us its owner, and takes it from the user who applied it; the next
// `kubectl apply --server-side` of the same manifest would be refused with a
// conflict. So a second write puts managedFields back: users own what they
// applied, we own what nobody else owned. It changes no value, and the API
// server takes the managedFields of such a write as they are.
//
// Users who update, or apply on the client's side, never get a conflict, so
// nothing is written for them. When somebody else writes the Ingress in
// between, managedFields is computed again.
func (p ingressPatcher) restoreManagedFields(ctx context.Context, before, after *networkingv1.Ingress) error {
	for range maxRestoreAttempts {
		restored, err := fieldowners.Restore(before.ManagedFields, after.ManagedFields, names.Manager)
		if err != nil || restored == nil {
			return err
		}
		err = p.putManagedFields(ctx, after, restored)
		if err == nil || !kube.IsWriteConflict(err) {
			return err
		}
		if after, err = p.get(ctx, kube.KeyOf(after)); after == nil || err != nil {
			return err
		}
	}
	return nil // others write so often that no field owner lasts
}

func (p ingressPatcher) putManagedFields(ctx context.Context, ingress *networkingv1.Ingress, restored []metav1.ManagedFieldsEntry) error {
	patch, err := json.Marshal([]ingressgen.Edit{
		{Op: "test", Path: "/metadata/resourceVersion", Value: ingress.ResourceVersion},
		{Op: "replace", Path: "/metadata/managedFields", Value: restored},
	})
	if err != nil {
		return fmt.Errorf("restore managedFields of Ingress %s: %w", kube.KeyOf(ingress), err)
	}
	_, err = p.sendPatch(ctx, ingress, patch)
	if p.writes.Count("ManagedFields", err) != nil {
		return fmt.Errorf("restore managedFields of Ingress %s: %w", kube.KeyOf(ingress), err)
	}
	return nil
}

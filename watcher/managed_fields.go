package watcher

import (
	"context"
	"encoding/json"
	"fmt"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/watcher/fieldowners"
)

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
func (r *ingressReconciler) restoreManagedFields(ctx context.Context, before, after *networkingv1.Ingress) error {
	for range maxRestoreAttempts {
		restored, err := fieldowners.Restore(before.ManagedFields, after.ManagedFields, names.Manager)
		if err != nil || restored == nil {
			return err
		}
		err = r.putManagedFields(ctx, after, restored)
		if err == nil || !kube.IsWriteConflict(err) {
			return err
		}
		if after, err = r.get(ctx, kube.KeyOf(after)); after == nil || err != nil {
			return err
		}
	}
	return nil // others write so often that no field owner lasts
}

func (r *ingressReconciler) putManagedFields(ctx context.Context, ingress *networkingv1.Ingress, restored []metav1.ManagedFieldsEntry) error {
	patch, err := json.Marshal([]ingressgen.Edit{
		{Op: "test", Path: "/metadata/resourceVersion", Value: ingress.ResourceVersion},
		{Op: "replace", Path: "/metadata/managedFields", Value: restored},
	})
	if err != nil {
		return fmt.Errorf("restore managedFields of Ingress %s: %w", kube.KeyOf(ingress), err)
	}
	_, err = r.sendPatch(ctx, ingress, patch)
	if r.writes.Count("ManagedFields", err) != nil {
		return fmt.Errorf("restore managedFields of Ingress %s: %w", kube.KeyOf(ingress), err)
	}
	return nil
}

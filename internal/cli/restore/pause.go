package restore

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/internal/cli/installation"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

// Resume ends the pause that All began.
func Resume(ctx context.Context, w io.Writer, in *installation.Installation) error {
	r := restorer{Installation: in, w: w}
	if err := r.resume(ctx); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, "no longer paused: opted-in Ingresses are rewritten again as soon as a proxy serves them")
	return err
}

func (r restorer) resume(ctx context.Context) error {
	err := r.patchState(ctx, map[string]*string{status.PausedKey: nil})
	if apierrors.IsNotFound(err) {
		return nil // there is no state, and so no pause
	}
	return err
}

// pause sets the key on which webhook and watcher rewrite nothing. It also
// removes the recorded state, which says where the Services are that All is
// about to delete. A running watcher writes the state anew.
func (r restorer) pause(ctx context.Context, reason string) error {
	err := r.patchState(ctx, map[string]*string{status.PausedKey: &reason, status.ClusterKey: nil})
	if !apierrors.IsNotFound(err) {
		return err
	}
	state := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: names.StateMap}, Data: map[string]string{status.PausedKey: reason}}
	_, err = r.CoreV1().ConfigMaps(r.Namespace).Create(ctx, state, metav1.CreateOptions{FieldManager: names.Manager, DryRun: r.dryRun()})
	if err != nil {
		return installation.Right{Verb: "create", Resource: installation.ConfigMaps, Namespace: r.Namespace}.Explain(err)
	}
	text, err := json.Marshal(map[string]any{"data": state.Data})
	if err != nil || !r.plan {
		return err
	}
	return r.planned("create", object{installation.ConfigMaps, r.Namespace, names.StateMap}, text)
}

// patchState changes keys of ConfigMap migration-state; nil removes a key.
func (r restorer) patchState(ctx context.Context, data map[string]*string) error {
	patch, err := json.Marshal(map[string]any{"data": data})
	if err != nil {
		return fmt.Errorf("encode the patch: %w", err)
	}
	_, err = r.CoreV1().ConfigMaps(r.Namespace).Patch(ctx, names.StateMap, types.MergePatchType, patch,
		metav1.PatchOptions{FieldManager: names.Manager, DryRun: r.dryRun()})
	if err != nil {
		return installation.Right{Verb: "patch", Resource: installation.ConfigMaps, Namespace: r.Namespace}.Explain(err)
	}
	if r.plan {
		return r.planned("patch", object{installation.ConfigMaps, r.Namespace, names.StateMap}, patch)
	}
	return nil
}

package watcher

import (
	"context"
	"fmt"
	"maps"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/names"
)

// objectClient is the part of a typed client, of one kind and namespace, that
// writes need.
type objectClient[T metav1.Object] interface {
	Create(context.Context, T, metav1.CreateOptions) (T, error)
	Update(context.Context, T, metav1.UpdateOptions) (T, error)
	Delete(context.Context, string, metav1.DeleteOptions) error
}

// objectWriter writes objects of one kind and namespace. Each write is counted,
// has a timeout, and is visible in the store at once.
type objectWriter[T metav1.Object] struct {
	client  objectClient[T]
	store   *kube.Store[T]
	metrics *metrics
	kind    string // for messages: "Service"
	counted string // label kind of the metric
}

func (w objectWriter[T]) create(ctx context.Context, object T) error {
	ctx, cancel := withRequestTimeout(ctx)
	defer cancel()
	created, err := w.client.Create(ctx, object, metav1.CreateOptions{FieldManager: names.Manager})
	if w.metrics.countWrite(w.counted, err) != nil {
		return fmt.Errorf("create %s %s: %w", w.kind, kube.KeyOf(object), err)
	}
	w.store.ObserveWrite(created)
	return nil
}

func (w objectWriter[T]) update(ctx context.Context, object T) error {
	ctx, cancel := withRequestTimeout(ctx)
	defer cancel()
	updated, err := w.client.Update(ctx, object, metav1.UpdateOptions{FieldManager: names.Manager})
	if w.metrics.countWrite(w.counted, err) != nil {
		return fmt.Errorf("write %s %s: %w", w.kind, kube.KeyOf(object), err)
	}
	w.store.ObserveWrite(updated)
	return nil
}

// delete deletes this object, and no later one of the same name. That it is
// gone already is no error.
func (w objectWriter[T]) delete(ctx context.Context, object T) error {
	ctx, cancel := withRequestTimeout(ctx)
	defer cancel()
	uid := object.GetUID()
	err := w.client.Delete(ctx, object.GetName(), metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
	if w.metrics.countWrite(w.counted, err) != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete %s %s: %w", w.kind, kube.KeyOf(object), err)
	}
	w.store.ObserveDelete(object)
	return nil
}

// overlay returns what is found with what is wanted over it. Labels of others
// stay: a cluster's tools write theirs on every object, and would write them
// again.
func overlay(found, wanted map[string]string) map[string]string {
	merged := map[string]string{}
	maps.Copy(merged, found)
	maps.Copy(merged, wanted)
	return merged
}

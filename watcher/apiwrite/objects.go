package apiwrite

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/names"
)

// Client is the part of a typed client, of one kind and namespace, that
// writes need.
type Client[T metav1.Object] interface {
	Create(context.Context, T, metav1.CreateOptions) (T, error)
	Update(context.Context, T, metav1.UpdateOptions) (T, error)
	Delete(context.Context, string, metav1.DeleteOptions) error
}

// Objects writes objects of one kind and namespace. Each write is counted,
// has a timeout, and is visible in the store at once.
type Objects[T metav1.Object] struct {
	Client  Client[T]
	Store   *kube.Store[T]
	Counter Counter
	Kind    string // for messages: "Service"
	Counted string // label kind of the metric
}

// Create makes the object.
func (w Objects[T]) Create(ctx context.Context, object T) error {
	ctx, cancel := WithTimeout(ctx)
	defer cancel()
	created, err := w.Client.Create(ctx, object, metav1.CreateOptions{FieldManager: names.Manager})
	if w.Counter.Count(w.Counted, err) != nil {
		return fmt.Errorf("create %s %s: %w", w.Kind, kube.KeyOf(object), err)
	}
	w.Store.ObserveWrite(created)
	return nil
}

// Update replaces the object.
func (w Objects[T]) Update(ctx context.Context, object T) error {
	ctx, cancel := WithTimeout(ctx)
	defer cancel()
	updated, err := w.Client.Update(ctx, object, metav1.UpdateOptions{FieldManager: names.Manager})
	if w.Counter.Count(w.Counted, err) != nil {
		return fmt.Errorf("write %s %s: %w", w.Kind, kube.KeyOf(object), err)
	}
	w.Store.ObserveWrite(updated)
	return nil
}

// Delete deletes this object, and no later one of the same name. That it is
// gone already is no error.
func (w Objects[T]) Delete(ctx context.Context, object T) error {
	ctx, cancel := WithTimeout(ctx)
	defer cancel()
	uid := object.GetUID()
	err := w.Client.Delete(ctx, object.GetName(), metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
	if w.Counter.Count(w.Counted, err) != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete %s %s: %w", w.Kind, kube.KeyOf(object), err)
	}
	w.Store.ObserveDelete(object)
	return nil
}

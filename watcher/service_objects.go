package watcher

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/names"
)

// ensureService makes a Service with its slices. The slices are written first:
// a Service without endpoints answers 503.
func (r *serviceReconciler) ensureService(ctx context.Context, lifecycle *serviceLifecycle, wanted *corev1.Service) error {
	found, err := r.getService(ctx, kube.KeyOf(wanted))
	if err != nil {
		return err
	}
	if found != nil && !isOurs(found) { // our slices would take its traffic
		return &foreignError{"Service", wanted.Namespace, wanted.Name}
	}
	if err := r.ensureSlices(ctx, wanted); err != nil {
		return err
	}
	if found == nil {
		return r.createService(ctx, lifecycle, wanted)
	}
	next := found.DeepCopy()
	next.Labels, next.OwnerReferences = overlay(next.Labels, wanted.Labels), wanted.OwnerReferences
	next.Spec.Selector, next.Spec.Ports = wanted.Spec.Selector, wanted.Spec.Ports
	// The Service leads to the applications of all namespaces, so users of one
	// namespace must not open it to the outside.
	next.Spec.Type, next.Spec.ExternalIPs = wanted.Spec.Type, nil
	if equality.Semantic.DeepEqual(found, next) {
		return nil
	}
	return r.serviceWriter(kube.KeyOf(next)).update(ctx, next)
}

func (r *serviceReconciler) createService(ctx context.Context, lifecycle *serviceLifecycle, wanted *corev1.Service) error {
	if err := r.serviceWriter(kube.KeyOf(wanted)).create(ctx, wanted); err != nil {
		return err
	}
	lifecycle.created = time.Now()
	return nil
}

// getService returns the Service of that name, ours or a foreign one; nil: it
// does not exist. Foreign Services with the name of a companion are not
// followed, so the API server is asked.
func (r *serviceReconciler) getService(ctx context.Context, key types.NamespacedName) (*corev1.Service, error) {
	found := r.stores.services(key.Name).Get(key)
	if found != nil || key.Name == names.ProxyService {
		return found, nil
	}
	ctx, cancel := withRequestTimeout(ctx)
	defer cancel()
	found, err := r.client.CoreV1().Services(key.Namespace).Get(ctx, key.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read Service %s: %w", key, err)
	}
	return found, nil
}

// refreshSlices keeps the endpoints of an existing Service right, also when no
// Ingress needs it: an ingress controller may still use them.
func (r *serviceReconciler) refreshSlices(ctx context.Context, key types.NamespacedName) error {
	service := r.stores.services(key.Name).Get(key)
	if service == nil || !isOurs(service) {
		return r.deleteSlices(ctx, r.slices(key)) // slices without a Service
	}
	return r.ensureSlices(ctx, service)
}

// ensureSlices makes the Service's slices copies of those of the chart's
// Service.
func (r *serviceReconciler) ensureSlices(ctx context.Context, service *corev1.Service) error {
	stale := r.slices(kube.KeyOf(service))
	for _, wanted := range ingressgen.ProxySlices(service, sortedSlices(r.stores.chartSlices)) {
		if err := r.ensureSlice(ctx, stale[wanted.Name], wanted); err != nil {
			return err
		}
		delete(stale, wanted.Name)
	}
	return r.deleteSlices(ctx, stale)
}

func (r *serviceReconciler) ensureSlice(ctx context.Context, found, wanted *discoveryv1.EndpointSlice) error {
	if found == nil {
		return r.sliceWriter(wanted.Namespace).create(ctx, wanted)
	}
	next := found.DeepCopy()
	next.Labels, next.OwnerReferences = overlay(next.Labels, wanted.Labels), wanted.OwnerReferences
	next.Endpoints, next.Ports = wanted.Endpoints, wanted.Ports
	if equality.Semantic.DeepEqual(found, next) {
		return nil
	}
	return r.sliceWriter(wanted.Namespace).update(ctx, next)
}

// slices are our slices of a Service, by name.
func (r *serviceReconciler) slices(service types.NamespacedName) map[string]*discoveryv1.EndpointSlice {
	slices := map[string]*discoveryv1.EndpointSlice{}
	for _, slice := range r.stores.ownSlices.InNamespace(service.Namespace) {
		if isOurs(slice) && slice.Labels[discoveryv1.LabelServiceName] == service.Name {
			slices[slice.Name] = slice
		}
	}
	return slices
}

func (r *serviceReconciler) deleteSlices(ctx context.Context, slices map[string]*discoveryv1.EndpointSlice) error {
	for _, slice := range slices {
		if err := r.sliceWriter(slice.Namespace).delete(ctx, slice); err != nil {
			return err
		}
	}
	return nil
}

// deleteService removes our Service, and then its slices: a Service without
// endpoints would answer 503.
func (r *serviceReconciler) deleteService(ctx context.Context, key types.NamespacedName) error {
	if service := r.stores.services(key.Name).Get(key); service != nil && isOurs(service) {
		if err := r.serviceWriter(key).delete(ctx, service); err != nil {
			return err
		}
	}
	return r.deleteSlices(ctx, r.slices(key))
}

func (r *serviceReconciler) serviceWriter(key types.NamespacedName) objectWriter[*corev1.Service] {
	return objectWriter[*corev1.Service]{
		r.client.CoreV1().Services(key.Namespace), r.stores.services(key.Name), r.metrics, "Service", "Service",
	}
}

func (r *serviceReconciler) sliceWriter(namespace string) objectWriter[*discoveryv1.EndpointSlice] {
	return objectWriter[*discoveryv1.EndpointSlice]{
		r.client.DiscoveryV1().EndpointSlices(namespace), r.stores.ownSlices, r.metrics, "EndpointSlice", "EndpointSlice",
	}
}

package watcher

import (
	"context"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/names"
)

// fill makes a Service and its slices be there, as they must. The slices come
// first: a Service without endpoints answers 503.
func (m *mirror) fill(ctx context.Context, post *post, wanted *corev1.Service) error {
	found, err := m.look(ctx, keyOf(wanted))
	if err != nil {
		return err
	}
	if found != nil && !ours(found) { // slices of ours would take its traffic
		return &foreignError{"Service", wanted.Namespace, wanted.Name}
	}
	if err := m.endpointsOf(ctx, wanted); err != nil {
		return err
	}
	if found == nil {
		return m.create(ctx, post, wanted)
	}
	next := found.DeepCopy()
	next.Labels, next.OwnerReferences = withOurs(next.Labels, wanted.Labels), wanted.OwnerReferences
	next.Spec.Selector, next.Spec.Ports = wanted.Spec.Selector, wanted.Spec.Ports
	// Behind it are the applications of all namespaces: none may open it to the world.
	next.Spec.Type, next.Spec.ExternalIPs = wanted.Spec.Type, nil
	if equality.Semantic.DeepEqual(found, next) {
		return nil
	}
	return m.do(ctx, "write", next, func(ctx context.Context) error {
		made, err := m.client.CoreV1().Services(next.Namespace).Update(ctx, next, metav1.UpdateOptions{FieldManager: names.Manager})
		return learned(m.shelf(next.Name), made, err)
	})
}

// withOurs lays what we want over what is there. Others' labels stay: a
// cluster's tools write theirs on every object, and would write again.
func withOurs(found, wanted map[string]string) map[string]string {
	next := maps.Clone(found)
	if next == nil {
		next = map[string]string{}
	}
	maps.Copy(next, wanted)
	return next
}

// look gives the Service of that name, ours or somebody else's; nil if there is
// none. Those of companions are followed only if they are ours.
func (m *mirror) look(ctx context.Context, key types.NamespacedName) (*corev1.Service, error) {
	found := m.service(key)
	if found != nil || key.Name == names.ProxyService {
		return found, nil
	}
	ctx, cancel := within(ctx)
	defer cancel()
	found, err := m.client.CoreV1().Services(key.Namespace).Get(ctx, key.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read Service %s: %w", key, err)
	}
	return found, nil
}

func (m *mirror) create(ctx context.Context, post *post, wanted *corev1.Service) error {
	return m.do(ctx, "create", wanted, func(ctx context.Context) error {
		made, err := m.client.CoreV1().Services(wanted.Namespace).Create(ctx, wanted, metav1.CreateOptions{FieldManager: names.Manager})
		if err == nil {
			post.made = time.Now()
		}
		return learned(m.shelf(wanted.Name), made, err)
	})
}

// refresh keeps the endpoints right of a Service that is there, whoever needs
// it: while an ingress controller may still use them they must not be stale.
func (m *mirror) refresh(ctx context.Context, service types.NamespacedName) error {
	found := m.service(service)
	if found == nil || !ours(found) {
		return m.remove(ctx, m.mirrored(service)) // slices of nothing
	}
	return m.endpointsOf(ctx, found)
}

// endpointsOf makes the Service's slices be as the proxy's own has them.
func (m *mirror) endpointsOf(ctx context.Context, service *corev1.Service) error {
	stale := m.mirrored(keyOf(service))
	for _, wanted := range ingressgen.ProxySlices(service, m.endpoints()) {
		if err := m.slice(ctx, stale[wanted.Name], wanted); err != nil {
			return err
		}
		delete(stale, wanted.Name)
	}
	return m.remove(ctx, stale)
}

func (m *mirror) slice(ctx context.Context, found, wanted *discoveryv1.EndpointSlice) error {
	source := m.client.DiscoveryV1().EndpointSlices(wanted.Namespace)
	if found == nil {
		return m.do(ctx, "create", wanted, func(ctx context.Context) error {
			made, err := source.Create(ctx, wanted, metav1.CreateOptions{FieldManager: names.Manager})
			return learned(m.slices, made, err)
		})
	}
	next := found.DeepCopy()
	next.Labels, next.OwnerReferences = withOurs(next.Labels, wanted.Labels), wanted.OwnerReferences
	next.Endpoints, next.Ports = wanted.Endpoints, wanted.Ports
	if equality.Semantic.DeepEqual(found, next) {
		return nil
	}
	return m.do(ctx, "write", next, func(ctx context.Context) error {
		made, err := source.Update(ctx, next, metav1.UpdateOptions{FieldManager: names.Manager})
		return learned(m.slices, made, err)
	})
}

func learned[T metav1.Object](shelf *shelf[T], made T, err error) error {
	if err == nil {
		shelf.learn(made)
	}
	return err
}

func (m *mirror) remove(ctx context.Context, stale map[string]*discoveryv1.EndpointSlice) error {
	for _, slice := range stale {
		err := m.do(ctx, "delete", slice, func(ctx context.Context) error {
			return m.client.DiscoveryV1().EndpointSlices(slice.Namespace).Delete(ctx, slice.Name, exactly(slice.UID))
		})
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
		m.slices.forget(slice)
	}
	return nil
}

// empty takes away what is ours: the Service first, because one without
// endpoints would answer 503, and one that is not there is not asked.
func (m *mirror) empty(ctx context.Context, key types.NamespacedName) error {
	if service := m.service(key); service != nil && ours(service) {
		err := m.do(ctx, "delete", service, func(ctx context.Context) error {
			return m.client.CoreV1().Services(key.Namespace).Delete(ctx, key.Name, exactly(service.UID))
		})
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
		m.shelf(key.Name).forget(service)
	}
	return m.remove(ctx, m.mirrored(key))
}

// do makes one write of a Service or an EndpointSlice, counted.
func (m *mirror) do(ctx context.Context, verb string, object metav1.Object, write func(context.Context) error) error {
	ctx, cancel := within(ctx)
	defer cancel()
	kind := "EndpointSlice"
	if _, ok := object.(*corev1.Service); ok {
		kind = "Service"
	}
	if err := m.metrics.wrote(kind, write(ctx)); err != nil {
		return fmt.Errorf("%s %s %s: %w", verb, kind, keyOf(object), err)
	}
	return nil
}

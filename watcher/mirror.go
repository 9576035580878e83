package watcher

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/migration-proxy/migration-proxy/cluster"
	"github.com/migration-proxy/migration-proxy/ingressgen"
)

// mirror keeps the proxy's Service and EndpointSlices in the namespaces whose
// Ingresses need them, as our own namespace has them.
type mirror struct {
	client    kubernetes.Interface
	home      string // our own namespace, which has the chart's Service
	source    string // that Service's name
	linger    time.Duration
	view      *atomic.Pointer[view]
	ingresses *shelf[*networkingv1.Ingress]
	services  *shelf[*corev1.Service]
	slices    *shelf[*discoveryv1.EndpointSlice]
	metrics   *metrics
	later     func(namespace string, after time.Duration)

	mu    sync.Mutex
	locks map[string]*sync.Mutex
	// idle is since when nothing in a namespace needs the Service. Providing
	// for an Ingress begins anew: what the watch says of it may come later.
	idle map[string]time.Time
}

func (m *mirror) reset() { m.locks, m.idle = map[string]*sync.Mutex{}, map[string]time.Time{} }

// lock keeps a namespace for one goroutine: a Service that an Ingress is about
// to be pointed at must not be removed in between.
func (m *mirror) lock(namespace string) *sync.Mutex {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.locks[namespace] == nil {
		m.locks[namespace] = &sync.Mutex{}
	}
	return m.locks[namespace]
}

// provide sees to it that a namespace has the Service and its endpoints.
func (m *mirror) provide(ctx context.Context, namespace string) error {
	if namespace == m.home {
		return nil
	}
	lock := m.lock(namespace)
	lock.Lock()
	defer lock.Unlock()
	m.needed(namespace, true)
	return m.fill(ctx, namespace)
}

// bring makes a namespace be as it must: filled while an Ingress needs it,
// without anything of ours some time after the last one did.
func (m *mirror) bring(ctx context.Context, namespace string) error {
	if namespace == m.home {
		return nil
	}
	lock := m.lock(namespace)
	lock.Lock()
	defer lock.Unlock()
	idle := m.needed(namespace, m.wanted(namespace))
	paused := m.view.Load().state.Paused != ""
	switch {
	case idle == 0 && !paused:
		err := m.fill(ctx, namespace)
		if errors.As(err, new(*foreignError)) {
			return nil // the Ingress has an Event that says so
		}
		return err
	case !m.has(namespace):
		return nil
	case idle < m.linger:
		if idle > 0 {
			m.later(namespace, m.linger-idle)
		}
		return m.refresh(ctx, namespace)
	}
	return m.empty(ctx, namespace)
}

// needed notes whether anything needs the namespace's Service, and tells for
// how long nothing has (0: something does).
func (m *mirror) needed(namespace string, needed bool) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if needed {
		delete(m.idle, namespace)
		return 0
	}
	if _, ok := m.idle[namespace]; !ok {
		m.idle[namespace] = time.Now()
	}
	return max(time.Since(m.idle[namespace]), 1)
}

// wanted: an Ingress carries anything of ours, be it only that it has fallen
// back, or is a companion.
func (m *mirror) wanted(namespace string) bool {
	return slices.ContainsFunc(m.ingresses.in(namespace), func(ingress *networkingv1.Ingress) bool {
		return ingressgen.Touched(ingress) || ours(ingress)
	})
}

func (m *mirror) has(namespace string) bool {
	service := m.services.get(serviceIn(namespace))
	return service != nil && ours(service) || len(m.mirrored(namespace)) > 0
}

func serviceIn(namespace string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: cluster.ProxyService}
}

func (m *mirror) mirrored(namespace string) []*discoveryv1.EndpointSlice {
	return slices.DeleteFunc(m.slices.in(namespace), func(slice *discoveryv1.EndpointSlice) bool { return !ours(slice) })
}

// sources are our own Service's slices, sorted by name.
func (m *mirror) sources() []discoveryv1.EndpointSlice {
	var found []discoveryv1.EndpointSlice
	for _, slice := range m.slices.in(m.home) {
		if slice.Labels[discoveryv1.LabelServiceName] == m.source {
			found = append(found, *slice)
		}
	}
	slices.SortFunc(found, func(a, b discoveryv1.EndpointSlice) int { return strings.Compare(a.Name, b.Name) })
	return found
}

// fill makes Service and slices be there. The slices come first: a Service
// without endpoints answers 503.
func (m *mirror) fill(ctx context.Context, namespace string) error {
	found := m.services.get(serviceIn(namespace))
	if found != nil && !ours(found) {
		return &foreignError{"Service", namespace, cluster.ProxyService}
	}
	if err := m.refresh(ctx, namespace); err != nil {
		return err
	}
	wanted := ingressgen.ProxyService(namespace)
	if found == nil {
		return m.do(ctx, "create Service", wanted, func(ctx context.Context) error {
			made, err := m.client.CoreV1().Services(namespace).Create(ctx, wanted, metav1.CreateOptions{FieldManager: cluster.Manager})
			return learned(m.services, made, err)
		})
	}
	next := found.DeepCopy()
	next.Labels, next.Spec.Selector, next.Spec.Ports = wanted.Labels, wanted.Spec.Selector, wanted.Spec.Ports
	if equality.Semantic.DeepEqual(found, next) {
		return nil
	}
	return m.do(ctx, "write Service", next, func(ctx context.Context) error {
		made, err := m.client.CoreV1().Services(namespace).Update(ctx, next, metav1.UpdateOptions{FieldManager: cluster.Manager})
		return learned(m.services, made, err)
	})
}

// refresh makes the slices be as our own Service's, whoever needs them: while
// an Ingress controller may still use them they must not be stale.
func (m *mirror) refresh(ctx context.Context, namespace string) error {
	stale := map[string]*discoveryv1.EndpointSlice{}
	for _, slice := range m.mirrored(namespace) {
		stale[slice.Name] = slice
	}
	for _, wanted := range ingressgen.ProxySlices(namespace, m.sources()) {
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
		return m.do(ctx, "create EndpointSlice", wanted, func(ctx context.Context) error {
			made, err := source.Create(ctx, wanted, metav1.CreateOptions{FieldManager: cluster.Manager})
			return learned(m.slices, made, err)
		})
	}
	next := found.DeepCopy()
	next.Labels, next.Endpoints, next.Ports = wanted.Labels, wanted.Endpoints, wanted.Ports
	if equality.Semantic.DeepEqual(found, next) {
		return nil
	}
	return m.do(ctx, "write EndpointSlice", next, func(ctx context.Context) error {
		made, err := source.Update(ctx, next, metav1.UpdateOptions{FieldManager: cluster.Manager})
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
		err := m.do(ctx, "delete EndpointSlice", slice, func(ctx context.Context) error {
			return m.client.DiscoveryV1().EndpointSlices(slice.Namespace).Delete(ctx, slice.Name, exactly(slice.UID))
		})
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return nil
}

// empty takes away what is ours: the Service first, because one without
// endpoints would answer 503, and one that is not there is not asked.
func (m *mirror) empty(ctx context.Context, namespace string) error {
	if service := m.services.get(serviceIn(namespace)); service != nil && ours(service) {
		err := m.do(ctx, "delete Service", service, func(ctx context.Context) error {
			return m.client.CoreV1().Services(namespace).Delete(ctx, service.Name, exactly(service.UID))
		})
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	stale := map[string]*discoveryv1.EndpointSlice{}
	for _, slice := range m.mirrored(namespace) {
		stale[slice.Name] = slice
	}
	return m.remove(ctx, stale)
}

// do makes one write, counted.
func (m *mirror) do(ctx context.Context, what string, object metav1.Object, write func(context.Context) error) error {
	ctx, cancel := within(ctx)
	defer cancel()
	_, kind, _ := strings.Cut(what, " ")
	if err := m.metrics.wrote(kind, write(ctx)); err != nil {
		return fmt.Errorf("%s %s: %w", what, keyOf(object), err)
	}
	return nil
}

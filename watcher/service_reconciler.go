package watcher

import (
	"cmp"
	"context"
	"errors"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/names"
)

// namespaceList is the list of the namespaces in which admission may point
// Ingresses at the proxy's Service: the state loop keeps it in migration-state.
type namespaceList interface {
	announceNamespace(ctx context.Context, namespace string, provided bool)
	// withdrawNamespace returns when the stored list does not have the
	// namespace any more.
	withdrawNamespace(ctx context.Context, namespace string) error
}

// serviceReconciler keeps our Services, with EndpointSlices that are copies of
// those of the chart's Service: Service migration-proxy in each namespace with
// an Ingress that needs it, and one for each companion.
type serviceReconciler struct {
	client     kubernetes.Interface
	stores     *objectStores
	desired    *atomic.Pointer[desiredState]
	queue      *workQueue
	namespaces namespaceList
	metrics    *metrics
	lifecycles *serviceLifecycles

	home   string        // our own namespace, which has the chart's Service
	linger time.Duration // see Options
	notice time.Duration // see Options
}

// reconcile implements reconciler: it keeps a Service while an Ingress needs
// it, and removes it some time after the last one did. It makes none where
// nothing of it exists: the reconciler of Ingresses calls ensure, because it
// knows what an Ingress will need.
func (r *serviceReconciler) reconcile(ctx context.Context, service types.NamespacedName) error {
	if r.isChart(service) {
		return nil
	}
	lifecycle := r.lifecycles.lock(service)
	defer lifecycle.Unlock()
	needed, paused := r.needed(service), r.desired.Load().cluster.Paused != ""
	switch {
	case !r.exists(service) && len(r.slices(service)) == 0:
		r.announce(ctx, lifecycle, service, false)
		r.lifecycles.remove(service)
		return nil
	case needed != nil && paused: // what others remove is not made again
		return r.refreshSlices(ctx, service)
	case needed == nil:
		return r.retire(ctx, lifecycle, service)
	}
	wait, err := r.ensureAndAnnounce(ctx, lifecycle, needed)
	if errors.As(err, new(*foreignError)) {
		return nil // the Ingress has an Event that says so
	}
	if wait > 0 {
		r.queue.AddAfter(service, wait)
	}
	return err
}

// failed implements reconciler. The queue logs the error.
func (r *serviceReconciler) failed(types.NamespacedName, error) {}

// ensure makes a Service with its EndpointSlices. No Ingress may begin to point
// at it before wait is over.
func (r *serviceReconciler) ensure(ctx context.Context, service *corev1.Service) (wait time.Duration, err error) {
	if r.isChart(kube.KeyOf(service)) {
		return 0, nil
	}
	lifecycle := r.lifecycles.lock(kube.KeyOf(service))
	defer lifecycle.Unlock()
	return r.ensureAndAnnounce(ctx, lifecycle, service)
}

func (r *serviceReconciler) ensureAndAnnounce(ctx context.Context, lifecycle *serviceLifecycle, service *corev1.Service) (wait time.Duration, err error) {
	lifecycle.unneededSince, lifecycle.withdrawnAt = time.Time{}, time.Time{}
	if err := r.ensureService(ctx, lifecycle, service); err != nil {
		if errors.As(err, new(*foreignError)) {
			r.announce(ctx, lifecycle, kube.KeyOf(service), false)
			return 0, cmp.Or(r.deleteSlices(ctx, r.slices(kube.KeyOf(service))), err)
		}
		return 0, err
	}
	wait = lifecycle.settling(r.notice)
	if wait == 0 {
		r.announce(ctx, lifecycle, kube.KeyOf(service), true)
	}
	return wait, nil
}

// announce says to admission whether the Service exists, if that is new.
// Admission points Ingresses at migration-proxy only.
func (r *serviceReconciler) announce(ctx context.Context, lifecycle *serviceLifecycle, service types.NamespacedName, provided bool) {
	if service.Name != names.ProxyService || lifecycle.announced && lifecycle.provided == provided {
		return
	}
	r.namespaces.announceNamespace(ctx, service.Namespace, provided)
	lifecycle.announced, lifecycle.provided = true, provided
}

// retire removes a Service that no Ingress needs: when that is so for the
// linger time, and after admission was told.
func (r *serviceReconciler) retire(ctx context.Context, lifecycle *serviceLifecycle, service types.NamespacedName) error {
	if lifecycle.unneededSince.IsZero() {
		lifecycle.unneededSince = time.Now()
	}
	if left := r.linger - time.Since(lifecycle.unneededSince); left > 0 {
		r.queue.AddAfter(service, left)
		return r.refreshSlices(ctx, service)
	}
	if service.Name == names.ProxyService {
		left, err := r.withdraw(ctx, lifecycle, service.Namespace)
		if err != nil {
			return err
		}
		if left > 0 {
			r.queue.AddAfter(service, left)
			return nil
		}
	}
	if err := r.deleteService(ctx, service); err != nil {
		return err
	}
	r.lifecycles.remove(service)
	return nil
}

// withdraw returns how much longer an answer of admission may be on its way
// that points an Ingress at the namespace's Service.
func (r *serviceReconciler) withdraw(ctx context.Context, lifecycle *serviceLifecycle, namespace string) (left time.Duration, err error) {
	if lifecycle.withdrawnAt.IsZero() {
		lifecycle.announced, lifecycle.provided = true, false
		if err := r.namespaces.withdrawNamespace(ctx, namespace); err != nil {
			return 0, err
		}
		lifecycle.withdrawnAt = time.Now()
	}
	return r.notice - time.Since(lifecycle.withdrawnAt), nil
}

// needed is what the Service must be; nil when no Ingress needs it. An Ingress
// that carries anything of ours needs Service migration-proxy, even if it has
// fallen back. A companion needs its own Service.
func (r *serviceReconciler) needed(service types.NamespacedName) *corev1.Service {
	// A companion usually has the name of its Service.
	if ingress := r.stores.ingresses.Get(service); ingress != nil && isOurs(ingress) && companionService(ingress) == service.Name {
		return ingressgen.CompanionService(ingress)
	}
	for _, ingress := range r.stores.ingresses.InNamespace(service.Namespace) {
		switch {
		case service.Name == names.ProxyService && !isOurs(ingress) && ingressgen.Touched(ingress):
			return ingressgen.ProxyService(service.Namespace)
		case service.Name != names.ProxyService && isOurs(ingress) && companionService(ingress) == service.Name:
			return ingressgen.CompanionService(ingress)
		}
	}
	return nil
}

// isChart reports whether the Service is the chart's, which Helm keeps.
func (r *serviceReconciler) isChart(service types.NamespacedName) bool {
	return service.Namespace == r.home && service.Name == names.ProxyService
}

// exists reports whether our Service exists. The queue repairs what it lacks.
func (r *serviceReconciler) exists(service types.NamespacedName) bool {
	found := r.stores.services(service.Name).Get(service)
	return found != nil && isOurs(found)
}

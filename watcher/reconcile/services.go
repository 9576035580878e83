package reconcile

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/watcher/desiredstate"
	"github.com/migration-proxy/migration-proxy/watcher/objects"
)

// ServiceOptions are those of Options.
type ServiceOptions struct {
	Namespace         string
	Linger            time.Duration
	Notice            time.Duration
	AnchorControllers []string
	AnchorSettle      time.Duration
}

// serviceReconciler keeps our Services, with EndpointSlices that are copies of
// those of the chart's Service: a proxy Service for each backend in whose place
// Ingresses point at the proxy, with its anchors, and one Service for each
// companion.
type serviceReconciler struct {
	stores     *objects.Stores
	desired    *atomic.Pointer[desiredstate.State]
	queue      *Queue
	objects    serviceObjects
	lifecycles *serviceLifecycles
	options    ServiceOptions
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
	paused := r.desired.Load().Cluster.Paused != ""
	needed := r.needed(service, paused)
	switch {
	case !r.objects.exists(service) && len(r.objects.slices(service)) == 0 && len(r.objects.anchors(service)) == 0:
		r.lifecycles.remove(service)
		return nil
	case needed != nil && paused, r.isSharedInUse(service): // what others remove, or older versions made, is not made again
		return r.objects.refreshSlices(ctx, service)
	case needed == nil:
		return r.retire(ctx, lifecycle, service)
	}
	err := r.ensureAll(ctx, lifecycle, *needed)
	if errors.As(err, new(*foreignError)) {
		return nil // the Ingress has an Event that says so
	}
	return cmp.Or(err, r.objects.deleteStaleAnchors(ctx, *needed))
}

// failed implements reconciler. The queue logs the error.
func (r *serviceReconciler) failed(types.NamespacedName, error) {}

// ensure makes a Service with its EndpointSlices and the anchor. No Ingress may
// begin to point at it before wait is over.
func (r *serviceReconciler) ensure(ctx context.Context, wanted wantedService) (wait time.Duration, err error) {
	lifecycle := r.lifecycles.lock(kube.KeyOf(wanted.service))
	defer lifecycle.Unlock()
	if err := r.ensureAll(ctx, lifecycle, wanted); err != nil {
		return 0, err
	}
	notice := r.options.Notice
	if len(wanted.anchors) > 0 {
		notice = r.options.AnchorSettle
	}
	return lifecycle.settling(notice), nil
}

func (r *serviceReconciler) ensureAll(ctx context.Context, lifecycle *serviceLifecycle, wanted wantedService) error {
	lifecycle.unneededSince = time.Time{}
	err := r.objects.ensureService(ctx, lifecycle, wanted.service)
	if errors.As(err, new(*foreignError)) {
		return cmp.Or(r.objects.deleteSlices(ctx, r.objects.slices(kube.KeyOf(wanted.service))), err)
	}
	for _, anchor := range wanted.anchors {
		if err == nil {
			err = r.objects.ensureAnchor(ctx, lifecycle, anchor)
		}
	}
	return err
}

// retire removes a Service that no Ingress has needed for the linger time.
func (r *serviceReconciler) retire(ctx context.Context, lifecycle *serviceLifecycle, service types.NamespacedName) error {
	if lifecycle.unneededSince.IsZero() {
		lifecycle.unneededSince = time.Now()
	}
	if left := r.options.Linger - time.Since(lifecycle.unneededSince); left > 0 {
		r.queue.AddAfter(service, left)
		return r.objects.refreshSlices(ctx, service)
	}
	if err := r.delete(ctx, service); err != nil {
		return err
	}
	r.lifecycles.remove(service)
	return nil
}

// delete removes our Service after its anchors, which point at it, and then
// its slices: a Service without endpoints would answer 503.
func (r *serviceReconciler) delete(ctx context.Context, key types.NamespacedName) error {
	for _, anchor := range r.objects.anchors(key) {
		if err := r.objects.anchorWriter(key.Namespace).Delete(ctx, anchor); err != nil {
			return err
		}
	}
	if service := r.stores.Services.Get(key); service != nil && ingressgen.IsGeneratedService(service) {
		if err := r.objects.serviceWriter(key).Delete(ctx, service); err != nil {
			return err
		}
	}
	return r.objects.deleteSlices(ctx, r.objects.slices(key))
}

// needed is what the Service must be; nil when no Ingress needs it. An Ingress
// that has opted in needs the proxy Services of its backends, even if it has
// fallen back; while everything is paused only if it points at them still. A
// companion needs its own Service.
func (r *serviceReconciler) needed(service types.NamespacedName, paused bool) *wantedService {
	var needed *wantedService
	for _, ingress := range r.stores.Ingresses.By(objects.IndexService, service.String()) {
		switch {
		case ingressgen.IsAnchor(ingress):
			continue
		case objects.IsOurs(ingress):
			return &wantedService{service: ingressgen.CompanionService(ingress)}
		}
		if paused && !ingressgen.PointsAt(ingress, service.Name) {
			continue
		}
		if old, ok := ingressgen.ProxyNeed(ingress, service.Name); ok {
			needed = r.wanted(ingress, old, needed)
		}
	}
	return needed
}

// wanted is the proxy Service of a user's backend, with the anchor for the class
// of the Ingress, added to what other Ingresses want.
func (r *serviceReconciler) wanted(ingress *networkingv1.Ingress, old networkingv1.IngressServiceBackend, others *wantedService) *wantedService {
	if others == nil {
		var annotations map[string]string
		if found := r.stores.Services.Get(types.NamespacedName{Namespace: ingress.Namespace, Name: old.Name}); found != nil {
			annotations = ingressgen.CopiedAnnotations(found.Annotations)
		}
		others = &wantedService{ingressgen.ProxyService(ingress.Namespace, old, annotations), map[string]*networkingv1.Ingress{}}
		if ingressgen.SpeaksGRPC(ingress, old, r.desired.Load().View()) {
			ingressgen.SetGRPC(others.service)
		}
	}
	controller := ingressgen.ControllerOf(ingress, r.stores.Classes.List())
	if slices.Contains(r.options.AnchorControllers, controller) {
		anchor := ingressgen.Anchor(ingress.Namespace, old, ingressgen.ClassNameOf(ingress))
		others.anchors[anchor.Name] = anchor
	}
	return others
}

// isSharedInUse reports whether it is the one proxy Service that older versions
// made for a namespace, and an Ingress points at it.
func (r *serviceReconciler) isSharedInUse(service types.NamespacedName) bool {
	return service.Name == names.ProxyService && slices.ContainsFunc(r.stores.Ingresses.By(objects.IndexService, service.String()),
		func(ingress *networkingv1.Ingress) bool { return ingressgen.PointsAt(ingress, service.Name) })
}

// isChart reports whether the Service is the chart's, which Helm keeps.
func (r *serviceReconciler) isChart(service types.NamespacedName) bool {
	return service.Namespace == r.options.Namespace && service.Name == names.ProxyService
}

package reconcile

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/watcher/desiredstate"
	"github.com/migration-proxy/migration-proxy/watcher/events"
	"github.com/migration-proxy/migration-proxy/watcher/objects"
)

// Results takes the result of each reconciled Ingress: the state loop.
type Results interface {
	IngressReconciled(context.Context, Result)
}

// ingressReconciler makes Ingresses equal to the desired state, one after the
// other. All that it knows of an Ingress is in the cluster.
type ingressReconciler struct {
	stores     *objects.Stores
	desired    *atomic.Pointer[desiredstate.State]
	queue      *Queue
	services   *serviceReconciler
	patcher    ingressPatcher
	companions companions
	results    Results
	events     *events.Writer
	// canaryControllers know canary annotations as ingress-nginx does.
	canaryControllers []string

	mu       sync.Mutex
	warnings map[types.NamespacedName]string // the warnings of the last Event
}

// reconcile implements reconciler.
func (r *ingressReconciler) reconcile(ctx context.Context, key types.NamespacedName) error {
	ingress := r.stores.Ingresses.Get(key)
	if ingress == nil || !objects.IsAnnotated(ingress) {
		r.results.IngressReconciled(ctx, Result{Key: key, Gone: true})
		r.warn(ingress, key, ingressgen.Report{}, "")
		return r.companions.delete(ctx, key)
	}
	err := r.reconcileVersion(ctx, ingress, hold{})
	if kube.IsWriteConflict(err) {
		// The store does not have the newest version: read it, and try once more.
		newest, readErr := r.patcher.get(ctx, key)
		if newest == nil || readErr != nil {
			return readErr // nil: the watch will deliver the deletion
		}
		ingress, err = newest, r.reconcileVersion(ctx, newest, hold{})
	}
	if because, held := holdBecause(err); held {
		r.queue.AddAfter(key, maxRetryDelay) // no watch delivers that a policy has changed
		return r.reconcileVersion(ctx, ingress, because)
	}
	return err
}

// reconcileVersion is the list of steps. An object that the Ingress points at
// is made before the patch, and removed after it. With a hold the Ingress stays as
// its user wrote it; that the reason cannot be written on it either, because the API
// server refuses this too, is no error.
func (r *ingressReconciler) reconcileVersion(ctx context.Context, ingress *networkingv1.Ingress, because hold) error {
	desired, key := r.desired.Load(), kube.KeyOf(ingress)
	view := desired.View()
	view.Blocked = because.reason
	report := r.rewrite(ingress, view)
	if desired.OnItsWay && r.switches(ingress, report) {
		r.queue.AddAfter(key, servedInterval)
		return nil
	}
	wait, err := r.ensureBackends(ctx, ingress, report)
	if err == nil && wait > 0 {
		r.queue.AddAfter(key, wait)
		return nil
	}
	if err == nil {
		err = r.patcher.patch(ctx, ingress, report.Edits)
	}
	if err == nil && report.Companion == nil {
		err = r.companions.delete(ctx, key)
	}
	if err != nil && (because.reason == "" || !isRefused(err)) {
		return err
	}
	if because.reason != "" {
		report.Warnings = append(report.Warnings, because.reason)
	}
	r.warn(ingress, key, report, because.event)
	r.results.IngressReconciled(ctx, NewResult(ingress, report, desired.Revision))
	return nil
}

// rewrite computes what the Ingress must become.
func (r *ingressReconciler) rewrite(ingress *networkingv1.Ingress, view ingressgen.View) ingressgen.Report {
	view.Ports = objects.NamedPorts{Services: r.stores.Services, Namespace: ingress.Namespace}
	view.CanaryControllers, view.Controller = r.canaryControllers, ingressgen.ControllerOf(ingress, r.stores.Classes.List())
	view.Neighbors = objects.Neighbors{Stores: r.stores, Ingress: ingress}
	return ingressgen.Rewrite(ingress, view)
}

// servedInterval is the time after which an Ingress whose config is on its way to the
// replicas is looked at again.
const servedInterval = 200 * time.Millisecond

// switches tells whether the edits, or a new companion, send requests to the proxy that did
// not go there before.
func (r *ingressReconciler) switches(ingress *networkingv1.Ingress, report ingressgen.Report) bool {
	first := func(use ingressgen.ProxyUse) bool { return use.Switch }
	return slices.ContainsFunc(report.Proxies, first) || report.Companion != nil && !r.isUsed(ingress, report.Companion)
}

// isUsed tells whether the Ingress has a companion that points at the same Service.
func (r *ingressReconciler) isUsed(ingress, companion *networkingv1.Ingress) bool {
	found := r.stores.Ingresses.Get(objects.CompanionOf(kube.KeyOf(ingress)))
	return found != nil && objects.IsOurs(found) && objects.CompanionService(found) == objects.CompanionService(companion)
}

// ensureBackends makes the Services that the Ingress will point at, and its
// companion. wait is how long a new Service must exist before the Ingress may
// point at it.
func (r *ingressReconciler) ensureBackends(ctx context.Context, ingress *networkingv1.Ingress, report ingressgen.Report) (wait time.Duration, err error) {
	wait, err = r.ensureServices(ctx, ingress, report)
	if err == nil && wait == 0 && report.Companion != nil {
		err = r.companions.ensure(ctx, report.Companion)
	}
	return wait, err
}

// ensureServices makes the Services to which the edits switch a path. The others
// are kept by the queue of Services: the way back to old must not wait for them.
func (r *ingressReconciler) ensureServices(ctx context.Context, ingress *networkingv1.Ingress, report ingressgen.Report) (wait time.Duration, err error) {
	for _, use := range report.Proxies {
		exists := r.services.objects.exists(types.NamespacedName{Namespace: ingress.Namespace, Name: use.Service})
		wanted := r.services.wanted(ingress, use.Old, nil)
		if !use.Switch && !r.services.objects.leadsElsewhere(wanted.service) && (exists || !ingressgen.PointsAt(ingress, use.Service)) {
			continue
		}
		settling, err := r.services.ensure(ctx, *wanted)
		if err != nil {
			return 0, err
		}
		if use.Switch {
			wait = max(wait, settling)
		}
	}
	if report.Companion == nil {
		return wait, nil
	}
	settling, err := r.ensureCompanionService(ctx, ingress, report.Companion)
	return max(wait, settling), err
}

// ensureCompanionService waits only for a Service at which no companion points.
func (r *ingressReconciler) ensureCompanionService(ctx context.Context, ingress, companion *networkingv1.Ingress) (wait time.Duration, err error) {
	service := ingressgen.CompanionService(companion)
	inUse := r.isUsed(ingress, companion)
	if inUse && r.services.objects.exists(kube.KeyOf(service)) {
		return 0, nil
	}
	wait, err = r.services.ensure(ctx, wantedService{service: service})
	if inUse {
		return 0, err
	}
	return wait, err
}

// warn writes an Event for warnings that differ from those of the last Event.
// reason is that of a hold, or "".
func (r *ingressReconciler) warn(ingress *networkingv1.Ingress, key types.NamespacedName, report ingressgen.Report, reason string) {
	text := noteOf(report)
	r.mu.Lock()
	before := r.warnings[key]
	if text == "" {
		delete(r.warnings, key)
	} else {
		r.warnings[key] = text
	}
	r.mu.Unlock()
	if text == "" || text == before {
		return
	}
	if reason == "" {
		reason = events.NotRewritten
	}
	if report.Phase == status.Migrating {
		reason = events.RewrittenWithWarnings
	}
	r.events.Write(ingress, events.Warning(reason, text))
}

// failed implements reconciler. It writes an Event when even an Ingress that does
// not point at the proxy is refused. Errors that may pass are only logged.
func (r *ingressReconciler) failed(key types.NamespacedName, err error) {
	if ingress := r.stores.Ingresses.Get(key); ingress != nil && isRefused(err) {
		r.events.Write(ingress, events.Warning(events.WriteRefused, err.Error()))
	}
}

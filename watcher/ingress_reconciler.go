package watcher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

// ingressResults takes the result of each reconciled Ingress: the state loop.
type ingressResults interface {
	ingressReconciled(context.Context, reconciledIngress)
}

// ingressReconciler makes Ingresses equal to the desired state, one after the
// other. All that it knows of an Ingress is in the cluster.
type ingressReconciler struct {
	client   kubernetes.Interface
	stores   *objectStores
	desired  *atomic.Pointer[desiredState]
	queue    *workQueue
	services *serviceReconciler
	results  ingressResults
	events   *eventWriter
	metrics  *metrics
	// canaryControllers know canary annotations besides ingress-nginx.
	canaryControllers []string

	mu       sync.Mutex
	warnings map[types.NamespacedName]string // the warnings of the last Event
}

// reconcile implements reconciler.
func (r *ingressReconciler) reconcile(ctx context.Context, key types.NamespacedName) error {
	ingress := r.stores.ingresses.Get(key)
	if ingress == nil || !isAnnotated(ingress) {
		r.results.ingressReconciled(ctx, reconciledIngress{key: key, gone: true})
		r.warn(ingress, key, ingressgen.Report{})
		return r.deleteCompanion(ctx, key)
	}
	err := r.reconcileVersion(ctx, ingress)
	if err == nil || !kube.IsWriteConflict(err) {
		return err
	}
	// The store does not have the newest version: read it, and try once more.
	newest, err := r.get(ctx, key)
	if newest == nil || err != nil {
		return err // nil: the watch will deliver the deletion
	}
	return r.reconcileVersion(ctx, newest)
}

// get reads an Ingress from the API server; nil: it does not exist.
func (r *ingressReconciler) get(ctx context.Context, key types.NamespacedName) (*networkingv1.Ingress, error) {
	ctx, cancel := withRequestTimeout(ctx)
	defer cancel()
	ingress, err := r.client.NetworkingV1().Ingresses(key.Namespace).Get(ctx, key.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read Ingress %s: %w", key, err)
	}
	return ingress, nil
}

// reconcileVersion is the list of steps. An object that the Ingress points at
// is made before the patch, and removed after it.
func (r *ingressReconciler) reconcileVersion(ctx context.Context, ingress *networkingv1.Ingress) error {
	desired, key := r.desired.Load(), kube.KeyOf(ingress)
	report, err := r.rewrite(ctx, ingress, desired.view())
	if err != nil {
		return err
	}
	report, wait, err := r.ensureBackends(ctx, ingress, desired, report)
	if err == nil && wait > 0 {
		r.queue.AddAfter(key, wait)
		return nil
	}
	if err == nil {
		err = r.patch(ctx, ingress, report.Edits)
	}
	if err == nil && report.Companion == nil {
		err = r.deleteCompanion(ctx, key)
	}
	if err != nil {
		return err
	}
	r.warn(ingress, key, report)
	r.results.ingressReconciled(ctx, newReconciledIngress(ingress, report, desired.revision))
	return nil
}

// rewrite computes what the Ingress must become. An Ingress with a named port
// that does not exist is reconciled again later.
func (r *ingressReconciler) rewrite(ctx context.Context, ingress *networkingv1.Ingress, view ingressgen.View) (ingressgen.Report, error) {
	ports := &namedPorts{ctx: ctx, client: r.client, namespace: ingress.Namespace}
	view.Ports = ports
	view.CanaryControllers, view.Controller = r.canaryControllers, ingressgen.ControllerOf(ingress, r.stores.classes.List())
	view.Neighbors = neighbors{r.stores, ingress}
	report := ingressgen.Rewrite(ingress, view)
	if ports.missing {
		r.queue.AddAfter(kube.KeyOf(ingress), portRetryDelay(ingress, time.Now()))
	}
	return report, ports.err
}

// ensureBackends makes the Services that the Ingress will point at, and its
// companion. wait is how long a new Service must exist before the Ingress may
// point at it. When a foreign object has the name of one of them, the Ingress
// stays as its user wrote it, with the reason.
func (r *ingressReconciler) ensureBackends(ctx context.Context, ingress *networkingv1.Ingress, desired *desiredState, report ingressgen.Report) (ingressgen.Report, time.Duration, error) {
	wait, err := r.ensureServices(ctx, ingress, report)
	if err == nil && wait == 0 && report.Companion != nil {
		err = r.ensureCompanion(ctx, report.Companion)
	}
	var foreign *foreignError
	if !errors.As(err, &foreign) {
		return report, wait, err
	}
	r.queue.AddAfter(kube.KeyOf(ingress), maxRetryDelay) // no watch delivers that it is gone
	blocked := desired.view()
	blocked.Blocked = foreign.Error()
	report, err = r.rewrite(ctx, ingress, blocked)
	report.Warnings = append(report.Warnings, foreign.Error())
	return report, 0, err
}

// ensureServices makes the Services that the Ingress does not point at yet. The
// others are kept by the queue of Services: the way back to old must not wait
// for them.
func (r *ingressReconciler) ensureServices(ctx context.Context, ingress *networkingv1.Ingress, report ingressgen.Report) (wait time.Duration, err error) {
	for _, name := range report.Proxies {
		service := ingressgen.ProxyService(ingress.Namespace)
		if name != names.ProxyService {
			service = ingressgen.CompanionService(report.Companion)
		}
		inUse := r.pointsAt(ingress, name)
		if inUse && r.services.exists(kube.KeyOf(service)) {
			continue
		}
		settling, err := r.services.ensure(ctx, service)
		if err != nil {
			return 0, err
		}
		if !inUse {
			wait = max(wait, settling)
		}
	}
	return wait, nil
}

// pointsAt reports whether the Ingress, or its companion, points at one of our
// Services already.
func (r *ingressReconciler) pointsAt(ingress *networkingv1.Ingress, service string) bool {
	if service == names.ProxyService {
		return ingressgen.ThroughProxy(ingress)
	}
	companion := r.stores.ingresses.Get(companionOf(kube.KeyOf(ingress)))
	return companion != nil && isOurs(companion) && companionService(companion) == service
}

// patch sends the edits, each with a test of what it replaces, and then
// restores the field owners.
func (r *ingressReconciler) patch(ctx context.Context, ingress *networkingv1.Ingress, edits []ingressgen.Edit) error {
	if len(edits) == 0 {
		return nil
	}
	patch, err := json.Marshal(ingressgen.WithPreconditions(ingress, edits))
	if err != nil {
		return fmt.Errorf("write Ingress %s: %w", kube.KeyOf(ingress), err)
	}
	after, err := r.sendPatch(ctx, ingress, patch)
	if r.metrics.countWrite("Ingress", err) != nil {
		return fmt.Errorf("write Ingress %s: %w", kube.KeyOf(ingress), err)
	}
	return r.restoreManagedFields(ctx, ingress, after)
}

func (r *ingressReconciler) sendPatch(ctx context.Context, ingress *networkingv1.Ingress, patch []byte) (after *networkingv1.Ingress, err error) {
	ctx, cancel := withRequestTimeout(ctx)
	defer cancel()
	return r.client.NetworkingV1().Ingresses(ingress.Namespace).Patch(
		ctx, ingress.Name, types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: names.Manager})
}

// warn writes an Event for warnings that differ from those of the last Event.
func (r *ingressReconciler) warn(ingress *networkingv1.Ingress, key types.NamespacedName, report ingressgen.Report) {
	text := strings.Join(slices.Sorted(slices.Values(report.Warnings)), "; ")
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
	reason := EventNotRewritten
	if report.Phase == status.Migrating {
		reason = EventWarnings
	}
	r.events.write(ingress, event{corev1.EventTypeWarning, reason, text})
}

// failed implements reconciler. It writes an Event when the API server, or an
// admission webhook of somebody else, refuses a write. Errors that may pass are
// only logged.
func (r *ingressReconciler) failed(key types.NamespacedName, err error) {
	var answer apierrors.APIStatus
	ingress := r.stores.ingresses.Get(key)
	if ingress == nil || !errors.As(err, &answer) || apierrors.IsTooManyRequests(err) {
		return
	}
	if code := answer.Status().Code; code >= 400 && code < 500 {
		r.events.write(ingress, event{corev1.EventTypeWarning, EventRefused, err.Error()})
	}
}

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
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

// keeper brings one Ingress after the other to what the view wants. It knows
// nothing of the Ingress but what the cluster has.
type keeper struct {
	client  kubernetes.Interface
	view    *atomic.Pointer[view]
	shelf   *shelf[*networkingv1.Ingress]
	mirror  *mirror
	metrics *metrics
	events  *eventWriter
	done    func(context.Context, outcome)
	later   func(ingress types.NamespacedName, after time.Duration)

	mu       sync.Mutex
	warnings map[types.NamespacedName]string // that were told of last
}

// bring does one Ingress. An error means: try again.
func (k *keeper) bring(ctx context.Context, key types.NamespacedName) error {
	ingress := k.shelf.get(key)
	if ingress == nil || !speaks(ingress) {
		k.done(ctx, outcome{key: key, gone: true})
		k.warn(ingress, key, ingressgen.Report{})
		return k.withoutCompanion(ctx, key)
	}
	err := k.once(ctx, ingress)
	if err == nil || !changedMeanwhile(err) {
		return err
	}
	// What the watch brought is not the newest: look, and try once more.
	fresh, err := k.read(ctx, key)
	if fresh == nil || err != nil {
		return err // nil: it is gone, the watch will say so
	}
	return k.once(ctx, fresh)
}

// read asks the API server; nil: there is no such Ingress.
func (k *keeper) read(ctx context.Context, key types.NamespacedName) (*networkingv1.Ingress, error) {
	ctx, cancel := within(ctx)
	defer cancel()
	fresh, err := k.client.NetworkingV1().Ingresses(key.Namespace).Get(ctx, key.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read Ingress %s: %w", key, err)
	}
	return fresh, nil
}

// once is the list of steps: what the Ingress will point at comes before it
// does, and goes after.
func (k *keeper) once(ctx context.Context, ingress *networkingv1.Ingress) error {
	view, key := k.view.Load(), keyOf(ingress)
	report, err := k.report(ctx, ingress, view.ingressgen())
	if err != nil {
		return err
	}
	report, wait, err := k.provide(ctx, ingress, view, report)
	if err == nil && wait > 0 {
		k.later(key, wait)
		return nil
	}
	if err == nil {
		err = k.patch(ctx, ingress, report.Edits)
	}
	if err == nil && report.Companion == nil {
		err = k.withoutCompanion(ctx, key)
	}
	if err != nil {
		return err
	}
	k.warn(ingress, key, report)
	k.done(ctx, outcomeOf(ingress, report, view.version))
	return nil
}

// report asks ingressgen.
func (k *keeper) report(ctx context.Context, ingress *networkingv1.Ingress, view ingressgen.View) (ingressgen.Report, error) {
	ports := &ports{ctx: ctx, client: k.client, namespace: ingress.Namespace}
	view.Ports = ports
	report := ingressgen.Rewrite(ingress, view)
	if ports.unknown {
		k.later(keyOf(ingress), lookAgain(ingress, time.Now()))
	}
	return report, ports.err
}

// provide sees to what the Ingress will point at, and to its companion; while
// a Service settles, wait says for how long. When somebody else has the name of
// one of them, the Ingress stays as its user wrote it, and says why.
func (k *keeper) provide(ctx context.Context, ingress *networkingv1.Ingress, view *view, report ingressgen.Report) (ingressgen.Report, time.Duration, error) {
	wait, err := k.proxies(ctx, ingress, report)
	if err == nil && wait == 0 && report.Companion != nil {
		err = k.companion(ctx, report.Companion)
	}
	var foreign *foreignError
	if !errors.As(err, &foreign) {
		return report, wait, err
	}
	k.later(keyOf(ingress), longestRetry) // nobody tells when it is gone
	blocked := view.ingressgen()
	blocked.Blocked = foreign.Error()
	report, err = k.report(ctx, ingress, blocked)
	report.Warnings = append(report.Warnings, foreign.Error())
	return report, 0, err
}

// proxies provides what the Ingress does not point at yet. What it does is the
// mirror's queue to keep: the way back to old must not stand behind that.
func (k *keeper) proxies(ctx context.Context, ingress *networkingv1.Ingress, report ingressgen.Report) (wait time.Duration, err error) {
	for _, name := range report.Proxies {
		service := ingressgen.ProxyService(ingress.Namespace)
		if name != names.ProxyService {
			service = ingressgen.CompanionService(report.Companion)
		}
		pointed := k.pointed(ingress, name)
		if pointed && k.mirror.stands(keyOf(service)) {
			continue
		}
		settling, err := k.mirror.provide(ctx, service)
		if err != nil {
			return 0, err
		}
		if !pointed {
			wait = max(wait, settling)
		}
	}
	return wait, nil
}

// pointed tells whether the Ingress, or its companion, points at one of our
// Services already.
func (k *keeper) pointed(ingress *networkingv1.Ingress, service string) bool {
	if service == names.ProxyService {
		return ingressgen.ThroughProxy(ingress)
	}
	companion := k.shelf.get(companionOf(keyOf(ingress)))
	return companion != nil && ours(companion) && pointsAt(companion, service)
}

// patch sends the edits, each guarded by tests of what it replaces, and then
// gives the fields that we had to take back to who had them.
func (k *keeper) patch(ctx context.Context, ingress *networkingv1.Ingress, edits []ingressgen.Edit) error {
	if len(edits) == 0 {
		return nil
	}
	body, err := json.Marshal(ingressgen.WithPreconditions(ingress, edits))
	if err != nil {
		return fmt.Errorf("write Ingress %s: %w", keyOf(ingress), err)
	}
	after, err := k.send(ctx, ingress, body)
	if k.metrics.wrote("Ingress", err) != nil {
		return fmt.Errorf("write Ingress %s: %w", keyOf(ingress), err)
	}
	return k.giveBack(ctx, ingress, after)
}

func (k *keeper) send(ctx context.Context, to *networkingv1.Ingress, patch []byte) (after *networkingv1.Ingress, err error) {
	ctx, cancel := within(ctx)
	defer cancel()
	return k.client.NetworkingV1().Ingresses(to.Namespace).Patch(
		ctx, to.Name, types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: names.Manager})
}

// warn writes an Event for warnings that are not the ones of last time.
func (k *keeper) warn(ingress *networkingv1.Ingress, key types.NamespacedName, report ingressgen.Report) {
	warnings := slices.Sorted(slices.Values(report.Warnings))
	text := strings.Join(warnings, "; ")
	k.mu.Lock()
	before := k.warnings[key]
	if text == "" {
		delete(k.warnings, key)
	} else {
		k.warnings[key] = text
	}
	k.mu.Unlock()
	if text == "" || text == before {
		return
	}
	reason := EventNotRewritten
	if report.Phase == status.Migrating {
		reason = EventWarnings
	}
	k.events.on(ingress, note{corev1.EventTypeWarning, reason, text})
}

// failed tells the Ingress's user what the API server, or an admission webhook
// of somebody else, has against a write. What may pass is only logged.
func (k *keeper) failed(key types.NamespacedName, err error) {
	var answer apierrors.APIStatus
	ingress := k.shelf.get(key)
	if ingress == nil || !errors.As(err, &answer) || apierrors.IsTooManyRequests(err) {
		return
	}
	if code := answer.Status().Code; code >= 400 && code < 500 {
		k.events.on(ingress, note{corev1.EventTypeWarning, EventRefused, err.Error()})
	}
}

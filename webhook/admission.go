package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// Options are what admission works with.
type Options struct {
	View *View
	// Services is where named ports are looked up; it needs the verb get.
	Services typedcorev1.ServicesGetter
	// Self is the user whose Ingresses pass unchanged: the watcher's, see User.
	Self string
	Log  *slog.Logger
}

// Admission is the handlers of both webhooks, and their metrics.
type Admission struct {
	ingresses, configs *hook
	metrics            metrics
}

// New puts the handlers together.
func New(options Options) *Admission {
	a := &Admission{metrics: newMetrics()}
	rewriting := &ingresses{
		view: options.View, ports: newPortCache(options.Services, options.Log), self: options.Self, log: options.Log,
	}
	validating := &configs{name: options.View.config.Name, view: options.View}
	shared := room{semaphore.NewWeighted(bodiesSize)}
	a.ingresses = &hook{kind: "ingress", decide: rewriting.decide, failed: letPass, room: shared, metrics: a.metrics, log: options.Log}
	a.configs = &hook{kind: "config", decide: validating.decide, failed: refuse, room: shared, metrics: a.metrics, log: options.Log}
	return a
}

// Register puts the handlers at PathIngress and PathConfig.
func (a *Admission) Register(server ctrlwebhook.Server) {
	server.Register(PathIngress, a.ingresses)
	server.Register(PathConfig, a.configs)
}

// Describe implements prometheus.Collector.
func (a *Admission) Describe(out chan<- *prometheus.Desc) { a.metrics.describe(out) }

// Collect implements prometheus.Collector.
func (a *Admission) Collect(out chan<- prometheus.Metric) { a.metrics.collect(out) }

// hook is one handler with what all of them need: time and result are
// measured, and a failure of our own has one way out.
type hook struct {
	kind    string
	decide  func(context.Context, admission.Request) (answer, error)
	failed  func(error) admission.Response
	room    room
	metrics metrics
	log     *slog.Logger
}

// Handle implements admission.Handler.
func (h *hook) Handle(ctx context.Context, request admission.Request) admission.Response {
	begin := time.Now()
	given, err := h.safely(ctx, request)
	if err != nil {
		h.log.Error("Admission failed", "kind", h.kind, "namespace", request.Namespace, "name", request.Name,
			"operation", request.Operation, "error", err)
		given = answer{h.failed(err), resultFailed}
	}
	h.metrics.observe(h.kind, given.result, time.Since(begin))
	return given.response
}

// safely turns a panic into an error: a config must be denied with a reason, and
// an Ingress pass with a warning.
func (h *hook) safely(ctx context.Context, request admission.Request) (given answer, err error) {
	defer func() {
		if found := recover(); found != nil {
			h.log.Error("Defect in admission", "panic", fmt.Sprint(found), "stack", string(debug.Stack()))
			err = errors.New("a defect in the migration proxy")
		}
	}()
	return h.decide(ctx, request)
}

// letPass: a migration tool never stops a deploy.
func letPass(err error) admission.Response {
	return admission.Allowed("").WithWarnings(told([]string{
		"the Ingress was let through as it is and will be looked at again soon: " + err.Error(),
	})...)
}

// refuse: nobody would notice a bad config otherwise.
func refuse(err error) admission.Response {
	return admission.Errored(http.StatusInternalServerError, fmt.Errorf("check the migration config: %w", err))
}

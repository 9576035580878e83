package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// Options are the dependencies of Admission.
type Options struct {
	Cache *ConfigCache
	// Services reads the Services whose named ports are needed; it needs the verb
	// get.
	Services typedcorev1.ServicesGetter
	// Self is the user whose Ingresses pass unchanged: the watcher, see User.
	Self string
	// Notes get who made each change; nil: nobody reads them.
	Notes *NoteWriter
	Log   *slog.Logger
}

// Admission has the handlers of both webhooks, and their metrics.
type Admission struct {
	ingresses, configs *handler
	metrics            metrics
}

// How many requests are decided at the same time. Parsing a config of 1 MiB takes 120 MB.
const (
	ingressTurns = 8
	configTurns  = 1
)

// New creates the handlers. Each has limits of its own, so that nobody who calls one
// keeps requests to the other waiting.
func New(options Options) *Admission {
	a := &Admission{metrics: newMetrics()}
	a.ingresses = &handler{kind: "ingress", budget: newBodyBudget(ingressBodyBytes), turns: newTurns(ingressTurns), metrics: a.metrics, log: options.Log, reviewer: &ingressRewriter{
		cache: options.Cache, ports: newPortCache(options.Services, options.Log), self: options.Self, log: options.Log, audit: audit{options.Notes, options.Log},
	}}
	a.configs = &handler{kind: "config", budget: newBodyBudget(configBodyBytes), turns: newTurns(configTurns), metrics: a.metrics, log: options.Log, reviewer: &configValidator{
		name: options.Cache.config.Name, cache: options.Cache, audit: audit{options.Notes, options.Log},
	}}
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

// reviewer decides about the requests of one webhook.
type reviewer interface {
	decide(context.Context, admission.Request) (decision, error)
	// onError gives the response to a request for which decide failed.
	onError(error) admission.Response
}

// handler serves one webhook. It measures the requests, and turns every failure
// into the response that the reviewer wants for it.
type handler struct {
	kind     string // of the metrics
	reviewer reviewer
	budget   *bodyBudget
	turns    *turns
	metrics  metrics
	log      *slog.Logger
}

// Handle implements admission.Handler.
func (h *handler) Handle(ctx context.Context, request admission.Request) admission.Response {
	start := time.Now()
	made, err := h.decide(ctx, request)
	if err != nil {
		h.log.Error("admission request failed", "kind", h.kind, "namespace", request.Namespace, "name", request.Name,
			"operation", request.Operation, "error", err)
		made = decision{h.reviewer.onError(err), resultFailed}
	}
	h.metrics.observe(h.kind, made.result, time.Since(start))
	return made.response
}

// decide turns a panic of the reviewer into an error. controller-runtime would
// deny the request, and a denied Ingress stops somebody's deploy.
func (h *handler) decide(ctx context.Context, request admission.Request) (made decision, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			h.log.Error("admission panicked", "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
			err = errors.New("a defect in the migration proxy")
		}
	}()
	return h.reviewer.decide(ctx, request)
}

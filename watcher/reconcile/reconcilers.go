package reconcile

import (
	"context"
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/watcher/apiwrite"
	"github.com/migration-proxy/migration-proxy/watcher/desiredstate"
	"github.com/migration-proxy/migration-proxy/watcher/events"
	"github.com/migration-proxy/migration-proxy/watcher/objects"
)

// Options are what the Reconcilers need.
type Options struct {
	Client            kubernetes.Interface
	Stores            *objects.Stores
	Desired           *atomic.Pointer[desiredstate.State]
	Writes            apiwrite.Counter
	Events            *events.Writer
	Results           Results
	Vanished          *VanishedReplicas
	Services          ServiceOptions
	CanaryControllers []string // know canary annotations as ingress-nginx does
}

// Reconcilers are the queues and what works on them.
type Reconcilers struct {
	queues    Queues
	ingresses *ingressReconciler
	services  *serviceReconciler
}

// Queues have the names of what must be reconciled.
type Queues struct{ Ingresses, Services *Queue }

// NewQueues makes empty queues.
func NewQueues(failures *kube.FailureLog) Queues {
	return Queues{newQueue("Ingress", failures), newQueue("Service", failures)}
}

// New makes the reconcilers of these queues.
func New(queues Queues, o Options) *Reconcilers {
	services := &serviceReconciler{
		stores: o.Stores, desired: o.Desired, queue: queues.Services, lifecycles: newServiceLifecycles(), options: o.Services,
		objects: serviceObjects{o.Client, o.Stores, o.Writes, o.Vanished},
	}
	return &Reconcilers{queues: queues, services: services, ingresses: &ingressReconciler{
		stores: o.Stores, desired: o.Desired, queue: queues.Ingresses, services: services,
		patcher: ingressPatcher{o.Client, o.Writes}, companions: companions{o.Client, o.Stores, o.Writes},
		results: o.Results, events: o.Events, canaryControllers: o.CanaryControllers,
		warnings: map[types.NamespacedName]string{},
	}}
}

// ingressWorkers and serviceWorkers are how many objects are reconciled at
// the same time.
const (
	ingressWorkers = 8
	serviceWorkers = 8
)

// Run reconciles until ctx ends.
func (r *Reconcilers) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { r.queues.Ingresses.run(ctx, r.ingresses, ingressWorkers) })
	running.Go(func() { r.queues.Services.run(ctx, r.services, serviceWorkers) })
}

package watcher

import (
	"context"
	"sync"

	"k8s.io/client-go/kubernetes"
)

// Watcher is the loop. It is a Runnable of a controller-runtime manager that
// only the leader runs, and a Prometheus collector, also where it does not run.
type Watcher struct {
	options Options
	client  kubernetes.Interface
	// eventClient has a rate of its own.
	eventClient kubernetes.Interface
	faults      *faults
	metrics     *metrics
}

// New makes a Watcher; it fails when no client can be made of options.Config.
func New(options Options) (*Watcher, error) {
	options = options.withDefaults()
	client, err := options.client(perSecond, burst)
	if err != nil {
		return nil, err
	}
	eventClient, err := options.client(eventsPerSecond, eventsBurst)
	if err != nil {
		return nil, err
	}
	faults := newFaults(options.Log)
	return &Watcher{options: options, client: client, eventClient: eventClient, faults: faults, metrics: newMetrics(faults)}, nil
}

// NeedLeaderElection says that only the leader runs it.
func (w *Watcher) NeedLeaderElection() bool { return true }

// Start runs until the context ends, and leaves nothing running. API errors
// are retried for ever. It may be called again after it has returned: all that
// it knows comes from the cluster.
func (w *Watcher) Start(ctx context.Context) error {
	events, err := newEventWriter(ctx, w.eventClient)
	if err != nil {
		return err
	}
	defer events.stop()
	parts := w.assemble(events)
	w.options.Log.Info("The watcher begins", "namespace", w.options.Namespace)
	defer w.metrics.current.Store(nil)
	var running sync.WaitGroup
	defer running.Wait()
	for _, part := range parts.all() {
		running.Go(func() { part(ctx) })
	}
	<-ctx.Done()
	return nil
}

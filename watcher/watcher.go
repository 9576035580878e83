package watcher

import (
	"context"
	"sync"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/watcher/clusterjournal"
	"github.com/migration-proxy/migration-proxy/watcher/clusterramp"
	"github.com/migration-proxy/migration-proxy/watcher/desiredstate"
	"github.com/migration-proxy/migration-proxy/watcher/events"
	"github.com/migration-proxy/migration-proxy/watcher/notifier"
	"github.com/migration-proxy/migration-proxy/watcher/objects"
	"github.com/migration-proxy/migration-proxy/watcher/reconcile"
)

// Watcher keeps the cluster as the migration config and the health of the
// replicas require. It is a Runnable of a controller-runtime manager that only
// the leader runs, and a Prometheus collector, also while it does not run.
type Watcher struct {
	options     Options
	client      kubernetes.Interface
	eventClient kubernetes.Interface
	failures    *kube.FailureLog
	metrics     *metrics
}

// New makes a Watcher. It fails when no client can be made of options.Config.
func New(options Options) (*Watcher, error) {
	options = options.withDefaults()
	client, err := options.client(requestsPerSecond, requestBurst)
	if err != nil {
		return nil, err
	}
	eventClient, err := options.client(eventsPerSecond, eventBurst)
	if err != nil {
		return nil, err
	}
	failures := kube.NewFailureLog(options.Log)
	return &Watcher{options: options, client: client, eventClient: eventClient, failures: failures, metrics: newMetrics(failures)}, nil
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (w *Watcher) NeedLeaderElection() bool { return true }

// Start runs until the context ends, and leaves no goroutine. Errors of the API
// server are retried for ever. Start may be called again after it has returned:
// all that it knows comes from the cluster.
func (w *Watcher) Start(ctx context.Context) error {
	recorder, err := events.NewWriter(ctx, w.eventClient)
	if err != nil {
		return err
	}
	defer recorder.Stop()
	w.options.Log.Info("watcher started", "namespace", w.options.Namespace)
	defer w.metrics.gauges.Store(nil)
	w.newTerm(recorder).run(ctx)
	return nil
}

// Describe implements prometheus.Collector.
func (w *Watcher) Describe(out chan<- *prometheus.Desc) { w.metrics.Describe(out) }

// Collect implements prometheus.Collector.
func (w *Watcher) Collect(out chan<- prometheus.Metric) { w.metrics.Collect(out) }

// term is what one leader runs, from its election to its end. The fields are
// in the order of the way from a change to the writes.
type term struct {
	*Watcher
	journal     *clusterjournal.Writer
	stores      *objects.Stores
	changes     *objectChanges
	poller      *statusPoller
	loop        *stateLoop
	reconcilers *reconcile.Reconcilers
	rampStore   *clusterramp.Store
	ramps       *clusterramp.Controller
}

func (w *Watcher) newTerm(recorder *events.Writer) *term {
	stores, polls, desired, queues := objects.NewStores(w.failures), newPollSchedule(), &atomic.Pointer[desiredstate.State]{}, reconcile.NewQueues(w.failures)
	journal := w.newJournalWriter(recorder)
	changes := &objectChanges{journal: ingressJournal{journal, desired}, stores: stores, queues: queues, polls: polls, events: recorder}
	o := w.options
	rampStore := clusterramp.NewStore(o.configMap(w.client, names.RampMap), w.metrics.writes)
	loop := w.newStateLoop(changes, desired, rampStore)
	return &term{
		Watcher: w, journal: journal, stores: stores, changes: changes, loop: loop,
		rampStore: rampStore, ramps: w.newRampController(loop, stores, rampStore),
		poller: &statusPoller{schedule: polls, slices: stores.ChartSlices, get: o.GetStatus, report: loop.takeReplicas},
		reconcilers: reconcile.New(queues, reconcile.Options{
			Client: w.client, Stores: stores, Desired: desired, Writes: w.metrics.writes, Events: recorder, Results: loop,
			Vanished: loop.vanished, CanaryControllers: o.CanaryControllers, Services: reconcile.ServiceOptions{
				Namespace: o.Namespace, Linger: o.Linger, Notice: o.Notice, AnchorControllers: o.AnchorControllers, AnchorSettle: o.AnchorSettle,
			},
		}),
	}
}

func (w *Watcher) newJournalWriter(recorder *events.Writer) *clusterjournal.Writer {
	return clusterjournal.New(clusterjournal.Options{
		Source: w.options.configMap(w.client, names.JournalMap), Writes: w.metrics.writes, Failures: w.failures, Events: recorder,
		Notifier: notifier.New(notifier.Options{Results: w.metrics.notifications, Log: w.options.Log}), NoteWait: w.options.NoteWait,
	})
}

func (w *Watcher) newStateLoop(changes *objectChanges, desired *atomic.Pointer[desiredstate.State], ramps *clusterramp.Store) *stateLoop {
	o := w.options
	store := &stateStore{source: o.configMap(w.client, names.StateMap), writes: w.metrics.writes, log: o.Log}
	return &stateLoop{
		inputs: make(chan stateInput), published: make(chan struct{}), desired: desired, store: store, polls: changes.polls,
		config:   &configState{source: o.configMap(w.client, names.ConfigMap), store: store, events: changes.events, log: o.Log},
		vanished: &reconcile.VanishedReplicas{}, ingresses: changes.queues.Ingresses, changes: changes, failures: w.failures,
		journal:  &stateJournal{writer: changes.journal.writer, ramps: ramps, log: o.Log},
		warnings: &replicaWarnings{events: changes.events, log: o.Log},
		events:   changes.events, metrics: w.metrics, log: o.Log, index: newIngressIndex(), servedFits: true,
	}
}

func (w *Watcher) newRampController(loop *stateLoop, stores *objects.Stores, store *clusterramp.Store) *clusterramp.Controller {
	o := w.options
	return clusterramp.New(clusterramp.Options{
		Interval: o.RampInterval, Evidence: o.GetEvidence, Endpoints: func() []kube.Endpoint { return kube.Endpoints(objects.SortedSlices(stores.ChartSlices)) },
		Desired: loop.desired, Deviating: &loop.warnings.deviating, Store: store, Journal: loop.journal.writer, Events: loop.events,
		Failures: w.failures, Metrics: w.metrics.ramps, Log: o.Log,
	})
}

// run starts everything, and returns when all of it has ended. The reconcilers
// begin when the stores have their first list and the state loop has published
// a desired state, for which it needs the config, migration-state and one poll.
func (t *term) run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	ready := append(t.stores.Listed(), t.loop.published)
	running.Go(func() { t.stores.Follow(ctx, t.client, t.options.Namespace, t.changes.observers()) })
	running.Go(func() { t.followConfig(ctx) })
	running.Go(func() { t.followStoredState(ctx) })
	running.Go(func() { t.loop.run(ctx) })
	running.Go(func() { t.rampStore.Follow(ctx) })
	running.Go(func() {
		if waitForAll(ctx, ready...) {
			t.ramps.Run(ctx)
		}
	})
	running.Go(func() { t.journal.Run(ctx) })
	running.Go(func() {
		if waitForAll(ctx, t.stores.ChartSlices.Listed()) {
			t.poller.run(ctx)
		}
	})
	running.Go(func() {
		if waitForAll(ctx, ready...) {
			t.reconcilers.Run(ctx)
		}
	})
}

func (t *term) followConfig(ctx context.Context) {
	_ = t.loop.config.source.Follow(ctx, func(version *corev1.ConfigMap) { // it ends with ctx, without an error
		t.loop.send(ctx, configInput{version})
	})
}

func (t *term) followStoredState(ctx context.Context) {
	_ = t.loop.store.source.Follow(ctx, func(version *corev1.ConfigMap) { // as above
		t.loop.send(ctx, storedStateInput{version})
	})
}

// waitForAll returns true when all channels are closed, false when ctx ends.
func waitForAll(ctx context.Context, channels ...<-chan struct{}) bool {
	for _, channel := range channels {
		select {
		case <-channel:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

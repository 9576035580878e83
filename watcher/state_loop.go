package watcher

import (
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/watcher/desiredstate"
	"github.com/migration-proxy/migration-proxy/watcher/events"
	"github.com/migration-proxy/migration-proxy/watcher/reconcile"
	"github.com/migration-proxy/migration-proxy/watcher/servicestate"
)

const (
	// maxPublishDelay is how long the Ingresses wait for a write of
	// migration-state: one that takes longer hangs, perhaps in an admission
	// webhook of somebody else.
	maxPublishDelay = 500 * time.Millisecond

	stateSubject = "migration-state" // of the failure log
)

// stateLoop owns the state: what the config says, what the replicas reported,
// the state of each service, and which Ingress belongs to which service. One
// goroutine, run's, uses all of it; the others send inputs, and read the
// desired state that the loop publishes.
type stateLoop struct {
	inputs    chan stateInput
	published chan struct{} // closed with the first desired state
	desired   *atomic.Pointer[desiredstate.State]

	config    *configState
	store     *stateStore
	polls     *pollSchedule
	ingresses *reconcile.Queue
	changes   *objectChanges // to queue our Services
	vanished  *reconcile.VanishedReplicas
	events    *events.Writer
	journal   *stateJournal
	warnings  *replicaWarnings
	failures  *kube.FailureLog
	metrics   *metrics
	log       *slog.Logger

	replicas []servicestate.ReplicaStatus
	polled   bool           // the replicas were polled once
	cluster  status.Cluster // the state of all services
	resumed  bool           // cluster continues from the stored state
	served   string         // the text of the last config that a ready replica served
	index    *ingressIndex

	saves        sync.WaitGroup // of the goroutine that writes migration-state
	saving       bool           // it runs
	unsavedSince time.Time      // since when migration-state is not cluster; zero: it is
	lastSaved    time.Time      // when migration-state was last known to be cluster
	servedFits   bool           // the last good config fits beside the state
}

// run takes inputs until ctx ends, and updates the state after each burst.
func (l *stateLoop) run(ctx context.Context) {
	defer l.saves.Wait()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case input := <-l.inputs:
			if input.apply(l) {
				now := time.Now()
				timer.Reset(nextUpdate(now, last).Sub(now))
			}
		case <-timer.C:
			last = time.Now()
			l.update(ctx)
		}
	}
}

// update takes the inputs to the cluster: the config, the state of each
// service, migration-state, and then the Ingresses.
func (l *stateLoop) update(ctx context.Context) {
	if !l.config.known || !l.store.known || !l.polled {
		return // a state that follows from a part of the inputs would be a guess
	}
	l.config.load()
	l.resolveState()
	l.journal.observe(observation{l.config, l.cluster, l.replicas})
	l.rememberServedConfig()
	l.saveState(ctx) // which publishes the desired state
	l.polls.setFast(l.onItsWay(time.Now()))
	l.warnings.reportRejections(l.config, l.replicas)
	l.warnings.reportDeviations(l.config, l.replicas, time.Now())
	l.updateMetrics()
}

func (l *stateLoop) resolveState() {
	before := l.cluster
	if !l.resumed {
		before = l.resume()
	}
	before.Paused = l.store.paused
	l.cluster = servicestate.Resolve(l.config.table, l.replicas, before, time.Now())
}

// resume continues from what the last leader stored.
func (l *stateLoop) resume() status.Cluster {
	l.resumed = true
	l.served, _ = l.store.lastGood()
	return l.store.cluster()
}

// rememberServedConfig keeps the text of the config as the last good one when a
// ready replica serves it. nginx may refuse a valid config, for instance for a
// ca_file that is missing; a new pod that began with it would never be ready.
func (l *stateLoop) rememberServedConfig() {
	if l.config.table != nil && slices.ContainsFunc(l.replicas, l.serves) {
		l.served = l.config.text
	}
}

func (l *stateLoop) serves(replica servicestate.ReplicaStatus) bool {
	return replica.Ready && replica.Status.Config.Digest == l.config.table.Digest()
}

// maxOnItsWay is how long a new config counts as on its way: a replica whose nginx refuses
// it, or which does not answer, must not hold every Ingress for ever.
const maxOnItsWay = 10 * time.Second

// onItsWay tells whether a ready replica does not serve the config in force yet. The
// replicas are polled more often meanwhile.
func (l *stateLoop) onItsWay(now time.Time) bool {
	return l.config.table != nil && now.Sub(l.config.since) < maxOnItsWay &&
		slices.ContainsFunc(l.replicas, func(replica servicestate.ReplicaStatus) bool {
			return replica.Ready && !l.serves(replica)
		})
}

func (l *stateLoop) updateMetrics() {
	values := &gaugeValues{
		savedAt: l.lastSaved, services: l.cluster.Services, ingresses: l.index.phases(), replicas: l.replicas,
		configRejected: l.config.rejected != "", paused: l.cluster.Paused != "",
	}
	if l.config.table != nil {
		values.digest = l.config.table.Digest()
	}
	l.metrics.gauges.Store(values)
}

// leaveOutVanished makes our Services leave out the replicas that take no connections any
// more, before Kubernetes notices that they are gone.
func (l *stateLoop) leaveOutVanished() {
	vanished := servicestate.Vanished(l.replicas)
	var before map[netip.Addr]struct{}
	if known := l.vanished.Swap(&vanished); known != nil {
		before = *known
	}
	if maps.Equal(before, vanished) {
		return
	}
	l.changes.queueAllServices()
	if len(vanished) > 0 {
		l.log.Warn("replicas that take no connections are left out of the endpoints", "addresses", slices.Collect(maps.Keys(vanished)))
		return
	}
	l.log.Info("no replica is left out of the endpoints any more")
}

// saveState writes the state to migration-state, and then publishes it, so that
// admission does not undo what the reconcilers do. When it cannot be written
// the Ingresses do not wait; it is tried again at the next poll.
func (l *stateLoop) saveState(ctx context.Context) {
	missing, fits, err := l.store.missing(storedState{l.cluster, l.served, l.index.notable()})
	switch {
	case err != nil:
		l.failures.Report(stateSubject, err)
	case missing == nil:
		l.saved(fits)
	case l.startSaving(ctx, missing):
		return // savedInput publishes
	}
	l.publish()
}

// startSaving sends the keys from another goroutine, because this one takes
// all inputs. It returns whether to wait for the result. One write runs at a
// time; a newer state is written after it.
func (l *stateLoop) startSaving(ctx context.Context, keys stateKeys) (wait bool) {
	if l.unsavedSince.IsZero() {
		l.unsavedSince = time.Now()
	}
	if !l.saving {
		l.saving = true
		l.saves.Go(func() {
			after, err := l.store.write(ctx, keys)
			l.send(ctx, savedInput{ctx, after, err})
		})
	}
	return time.Since(l.unsavedSince) < maxPublishDelay
}

// savedInput is the result of a write of migration-state.
type savedInput struct {
	ctx   context.Context
	after *corev1.ConfigMap
	err   error
}

// apply compares again, because the state may be another one by now.
func (in savedInput) apply(l *stateLoop) bool {
	l.saving = false
	if in.ctx.Err() != nil {
		return false
	}
	l.failures.Report(stateSubject, in.err)
	if in.err != nil {
		l.publish()
		return false
	}
	l.store.take(in.after)
	l.saveState(in.ctx)
	return false
}

// saved notes that migration-state is the state.
func (l *stateLoop) saved(fits bool) {
	l.failures.Report(stateSubject, nil)
	l.lastSaved, l.unsavedSince = time.Now(), time.Time{}
	if !fits && l.servedFits && l.config.configMap != nil {
		l.events.Write(l.config.configMap, events.Warning(events.LastGoodNotKept, "the config is too big to be kept beside the state, "+
			"so a proxy or watcher that starts while the newest config is invalid will have no last good one"))
	}
	l.servedFits = fits
}

// publish hands the desired state to the reconcilers, and queues the Ingresses
// that it may change. An Ingress that was never reconciled is in the queue
// already.
func (l *stateLoop) publish() {
	before := l.desired.Load()
	after := &desiredstate.State{
		Revision: 1, Table: l.config.table, Cluster: l.cluster, OnItsWay: l.onItsWay(time.Now()), ConfigMap: l.config.configMap,
	}
	if before != nil {
		after.Revision = before.Revision + 1
	}
	diff := desiredstate.Compare(before, after)
	if before != nil && diff.Empty() && before.Table == after.Table && before.OnItsWay == after.OnItsWay {
		return // another table may have another ramp, which changes no Ingress
	}
	l.desired.Store(after)
	if before == nil {
		close(l.published)
		return
	}
	for key := range l.index.affectedBy(diff) {
		l.ingresses.Add(key)
	}
}

// stateInput is a message to the state loop. The loop's goroutine applies it;
// changed asks for an update of the state.
type stateInput interface {
	apply(*stateLoop) (changed bool)
}

// send hands an input to the loop, and returns when the loop has it.
func (l *stateLoop) send(ctx context.Context, input stateInput) {
	select {
	case l.inputs <- input:
	case <-ctx.Done():
	}
}

// configInput is a version of the migration config; nil: it does not exist.
type configInput struct{ configMap *corev1.ConfigMap }

func (in configInput) apply(l *stateLoop) bool {
	l.config.take(in.configMap)
	l.polls.pollNow()
	return true
}

// storedStateInput is a version of migration-state; nil: it does not exist.
type storedStateInput struct{ configMap *corev1.ConfigMap }

func (in storedStateInput) apply(l *stateLoop) bool {
	l.store.take(in.configMap)
	return true
}

// replicasInput is the result of one poll.
type replicasInput struct{ replicas []kube.Replica }

func (in replicasInput) apply(l *stateLoop) bool {
	before := l.replicas
	l.replicas = servicestate.MergeStatuses(before, in.replicas, time.Now())
	l.polled = true
	l.warnings.logReachability(before, l.replicas)
	l.leaveOutVanished()
	return true
}

// takeReplicas hands over the result of one poll.
func (l *stateLoop) takeReplicas(ctx context.Context, replicas []kube.Replica) {
	l.send(ctx, replicasInput{replicas})
}

// reconciledInput is the result of reconciling an Ingress.
type reconciledInput struct{ ingress reconcile.Result }

// apply queues the Ingress again if the desired state has changed since: the
// index did not have it yet when the change was published. A new note is a change.
func (in reconciledInput) apply(l *stateLoop) bool {
	noted := l.index.put(in.ingress)
	if !in.ingress.Gone && in.ingress.Revision < l.desired.Load().Revision {
		l.ingresses.Add(in.ingress.Key)
	}
	return noted
}

// IngressReconciled implements reconcile.Results.
func (l *stateLoop) IngressReconciled(ctx context.Context, ingress reconcile.Result) {
	l.send(ctx, reconciledInput{ingress})
}

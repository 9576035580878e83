package watcher

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/journal"
	"github.com/migration-proxy/migration-proxy/watcher/clusterjournal"
	"github.com/migration-proxy/migration-proxy/watcher/clusterramp"
	"github.com/migration-proxy/migration-proxy/watcher/desiredstate"
	"github.com/migration-proxy/migration-proxy/watcher/events"
	"github.com/migration-proxy/migration-proxy/watcher/servicestate"
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
	ramps     *clusterramp.Store // drills are in it, too
	polls     *pollSchedule
	ingresses *workQueue
	changes   *objectChanges // to queue our Services
	vanished  *vanishedReplicas
	events    *events.Writer
	journal   *clusterjournal.Writer
	failures  *kube.FailureLog
	metrics   *metrics
	log       *slog.Logger

	replicas   []servicestate.ReplicaStatus
	polled     bool           // the replicas were polled once
	cluster    status.Cluster // the state of all services
	resumed    bool           // cluster continues from the stored state
	served     string         // the text of the last config that a ready replica served
	index      *ingressIndex
	rejections map[string]time.Time              // by pod: the rejected config that has an Event
	observed   *journal.State                    // the last state that the journal got
	splits     journal.Splits                    // for its evidence
	deviations map[string]struct{}               // services that have an Event: their share is not the wanted one
	deviating  atomic.Pointer[map[string]string] // why, for the ramp controller

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
	l.observeForJournal()
	l.rememberServedConfig()
	l.saveState(ctx) // which publishes the desired state
	l.setPollInterval()
	l.reportRejections()
	l.reportDeviations(time.Now())
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

// fastPollTime is how long the replicas are polled more often after a new
// config.
const fastPollTime = 5 * time.Second

// setPollInterval polls more often while a new config is on its way to the
// replicas.
func (l *stateLoop) setPollInterval() {
	awaited := l.config.table != nil && slices.ContainsFunc(l.replicas, func(replica servicestate.ReplicaStatus) bool {
		return replica.Ready && !l.serves(replica)
	})
	l.polls.setFast(awaited && time.Since(l.config.since) < fastPollTime)
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

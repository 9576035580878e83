package watcher

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/migration-proxy/migration-proxy/watcher/desiredstate"
	"github.com/migration-proxy/migration-proxy/watcher/events"
)

const (
	// maxPublishDelay is how long the Ingresses wait for a write of
	// migration-state: one that takes longer hangs, perhaps in an admission
	// webhook of somebody else.
	maxPublishDelay = 500 * time.Millisecond

	stateSubject = "migration-state" // of the failure log
)

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
	after := &desiredstate.State{Revision: 1, Table: l.config.table, Cluster: l.cluster, ConfigMap: l.config.configMap}
	if before != nil {
		after.Revision = before.Revision + 1
	}
	diff := desiredstate.Compare(before, after)
	if before != nil && diff.Empty() && before.Table == after.Table {
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

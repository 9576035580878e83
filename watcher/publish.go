package watcher

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// recording is how long the Ingresses wait for the record: a write that takes
// longer hangs, perhaps in somebody's admission webhook.
const recording = 500 * time.Millisecond

// act has the verdict written down, and then acted on. If it cannot be written,
// the Ingresses are not kept waiting; it is tried again each second.
func (o *owner) act(ctx context.Context) {
	keys, kept, err := o.record.lacks(o.state, o.good)
	switch {
	case err != nil:
		o.faults.report("migration-state", err)
	case keys == nil:
		o.recorded(kept)
	case o.write(ctx, keys):
		return // takeWritten goes on
	}
	o.publish()
}

// write sends the keys, and tells whether to wait for that. The owner's own
// goroutine does not: all others' words come through it. One write is under way
// at a time; what is newer then goes with the next.
func (o *owner) write(ctx context.Context, keys map[string]any) (wait bool) {
	if o.behind.IsZero() {
		o.behind = time.Now()
	}
	if !o.writing {
		o.writing = true
		o.writes.Go(func() {
			after, err := o.record.put(ctx, keys)
			o.send(ctx, func(o *owner) bool { return o.takeWritten(ctx, after, err) })
		})
	}
	return time.Since(o.behind) < recording
}

// takeWritten: the state may be another one by now.
func (o *owner) takeWritten(ctx context.Context, after *corev1.ConfigMap, err error) bool {
	o.writing = false
	if ctx.Err() != nil {
		return false
	}
	o.faults.report("migration-state", err)
	if err != nil {
		o.publish()
		return false
	}
	o.record.take(after)
	o.act(ctx)
	return false
}

// recorded: the record says the state.
func (o *owner) recorded(kept bool) {
	o.faults.report("migration-state", nil)
	o.success, o.behind = time.Now(), time.Time{}
	o.withdrawn = slices.DeleteFunc(o.withdrawn, func(w withdrawal) bool {
		if o.state.Provides(w.namespace) {
			return false
		}
		close(w.done)
		return true
	})
	if !kept && o.kept && o.configMap != nil {
		o.events.on(o.configMap, note{corev1.EventTypeWarning, EventStateTooBig, "the config is too big to be kept beside the state, " +
			"so a proxy or watcher that starts while the newest config is invalid will have no last good one"})
	}
	o.kept = kept
}

// publish hands the new view to the workers, and the Ingresses that it
// changes to the queue. Those that were never looked at are queued already.
func (o *owner) publish() {
	before := o.view.Load()
	after := &view{version: 1, table: o.table, state: o.state}
	if before != nil {
		after.version = before.version + 1
	}
	what := changed(before, after)
	if before != nil && what.empty() {
		return
	}
	o.view.Store(after)
	if before == nil {
		close(o.began)
		return
	}
	for key := range o.index.find(what) {
		o.enqueue(key)
	}
}

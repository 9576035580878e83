package clusterramp

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/ramp"
	"github.com/migration-proxy/migration-proxy/ramp/leader"
	"github.com/migration-proxy/migration-proxy/watcher/clusterjournal"
	"github.com/migration-proxy/migration-proxy/watcher/desiredstate"
	"github.com/migration-proxy/migration-proxy/watcher/events"
)

// Options are what a Controller needs.
type Options struct {
	Interval  time.Duration          // between two ticks; 0: 10 seconds, the length of a slot
	Endpoints func() []kube.Endpoint // of the replicas
	Evidence  kube.StatusGetter      // gets the evidence of one replica
	Desired   *atomic.Pointer[desiredstate.State]
	Deviating *atomic.Pointer[map[string]string] // services whose observed share is not the wanted one, and why
	Store     *Store
	Checks    *leader.Checks
	Journal   *clusterjournal.Writer
	Events    *events.Writer
	Failures  *kube.FailureLog
	Metrics   *Metrics
	Log       *slog.Logger
}

// stepResult is one service's step, which counts when it is written.
type stepResult struct {
	state    ramp.State
	decision ramp.Decision
}

// reporter tells people what happened.
type reporter struct {
	options Options
	meter   *leader.Meter
}

// report tells people what a step did: the log, an Event, the journal.
func (r reporter) report(desired *desiredstate.State, name string, done stepResult) {
	d := done.decision
	for _, entry := range leader.Entries(name, done.state, d, time.Now()) {
		if entry.Evidence != nil {
			entry.Evidence.Replicas, entry.Evidence.Digest = r.meter.Count(), desired.Table.Digest()
		}
		r.options.Journal.Append(entry)
	}
	if d.Command != nil {
		r.options.Log.Info("ramp command", "service", name, "verb", string(d.Command.Verb), "by", d.Command.By, "reason", d.Command.Reason, "refused", d.Refused)
	}
	if !d.Transition {
		return
	}
	r.options.Metrics.transitions.WithLabelValues(name, string(d.Phase)).Inc()
	r.options.Log.Info("ramp moved", "service", name, "from", d.From.String(), "to", d.To.String(), "phase", string(d.Phase), "reason", string(d.Reason), "why", d.Why, "by", d.By)
	switch {
	case d.To > d.From:
		r.event(desired, events.RampAdvanced, fmt.Sprintf("service %s: %s %% -> %s %%: %s", name, d.From, d.To, d.Why))
	case d.To < d.From:
		r.event(desired, events.RampReturned, fmt.Sprintf("service %s: %s %% -> %s %%: %s", name, d.From, d.To, d.Why))
	case d.NeedsPerson:
		r.event(desired, events.RampWaiting, fmt.Sprintf("service %s at %s %%: %s", name, d.To, d.Why))
	}
}

// event writes an Event on the migration config.
func (r reporter) event(desired *desiredstate.State, reason, text string) {
	if desired.ConfigMap == nil {
		return
	}
	said := events.Normal(reason, text)
	if reason == events.RampReturned || reason == events.RampStateLost || reason == events.RampWaiting {
		said = events.Warning(reason, text)
	}
	// Each write of migration-ramp is another related object, so that no Event counts as
	// a repetition of the one before.
	version, _ := r.options.Store.get()
	if version == nil {
		r.options.Events.Write(desired.ConfigMap, said)
		return
	}
	r.options.Events.WriteAbout(desired.ConfigMap, version, said)
}

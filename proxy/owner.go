package proxy

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/nginxgen"
	"github.com/migration-proxy/migration-proxy/proxy/weights"
)

// offer is a table that somebody wants in force. Offers and rejections are
// numbered as they come, from 1; what was in force before a restart is 0.
type offer struct {
	table  *migration.Table
	source string
	number int
}

// generation is an offer with the nginx config that was made of it.
type generation struct {
	offer
	config    nginxgen.Config
	endpoints nginxgen.Endpoints
	took      time.Duration // how long nginx -t needed
}

// verdict is what the fallback says of a service.
type verdict struct {
	phase  status.Phase
	reason string
}

// tripped: Recovering is a trial with traffic.
func (v verdict) tripped() bool { return v.phase == status.FallenBack }

// tidyEvery is how often unused shares and stale weights are looked for.
const tidyEvery = 5 * time.Second

// owner holds all state that changes; only Run's goroutine touches it. What
// takes long (DNS, nginx -t, reading back) is a job, one at a time, in a
// goroutine of its own that is given values and hands a function back; so
// fallbacks, and less traffic to new, act at once whatever else goes on.
//
//	Offer -> wanted, dirty -> job prepare -> ready -> job commit -> served
//	              ^ addresses changed           | not before ReloadEvery
type owner struct {
	*Agent
	store    *weights.Store
	observer Observer

	wanted   *offer      // the newest that was not refused
	dirty    bool        // wanted must be looked at (again)
	lastGood *offer      // see Agent.OfferLastGood
	makeDo   bool        // with lastGood, the next time, if nothing is in force by then
	ready    *generation // prepared and tested, to be committed
	served   *generation // in force; its table is nil while only adopted

	job       chan func() // the result of the running job, or nil
	notBefore time.Time   // of the next commit
	again     time.Time   // of the next prepare, when the last is to be tried again
	failures  int         // in a row, of what is tried again

	verdicts map[migration.Name]verdict
	applied  map[migration.Name]weights.State
	numbered int // offers and rejections so far
	rejected *status.Rejected
	refused  int // the number of what was rejected
	since    time.Time
	reloads  int
	results  map[string]uint64 // see status.Config.Results

	helpers sync.WaitGroup
	stop    func() // ends nginx; nil while it has not been started
	leaving bool   // see Agent.Drain
}

func newOwner(a *Agent, store *weights.Store, observer Observer) *owner {
	return &owner{
		Agent: a, store: store, observer: observer,
		verdicts: map[migration.Name]verdict{},
		applied:  map[migration.Name]weights.State{},
		results:  map[string]uint64{},
	}
}

func (o *owner) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer o.helpers.Wait()
	defer cancel()
	o.adopt(ctx)
	tidy := time.NewTicker(tidyEvery)
	defer tidy.Stop()
	for {
		o.turn(ctx)
		select {
		case <-ctx.Done():
			o.finishJob()
			return
		case <-o.inbox.wake:
			for _, task := range o.inbox.take() {
				task(o)
			}
		case finish := <-o.job:
			o.job = nil
			finish()
		case <-o.names.Changed():
			o.dirty = o.wanted != nil
		case <-o.whenAllowed():
		case now := <-tidy.C:
			o.tidy(now)
		}
	}
}

// turn does what the state now asks for. Traffic moves first; a reload waits.
func (o *owner) turn(ctx context.Context) {
	o.weigh()
	switch {
	case o.job != nil:
	case o.ready != nil && !time.Now().Before(o.notBefore):
		o.commit(ctx)
	case o.dirty && !time.Now().Before(o.again):
		o.prepare(ctx)
	}
	o.publish()
}

// table is the one in force, or nil.
func (o *owner) table() *migration.Table {
	if o.served == nil {
		return nil
	}
	return o.served.table
}

// whenAllowed fires when a job that has to wait may begin.
func (o *owner) whenAllowed() <-chan time.Time {
	switch {
	case o.job != nil:
		return nil
	case o.ready != nil:
		return time.After(time.Until(o.notBefore))
	case o.dirty:
		return time.After(time.Until(o.again))
	}
	return nil
}

// start lets a job run; what it returns is called by the owner.
func (o *owner) start(job func() func()) {
	done := make(chan func(), 1)
	o.job = done
	o.helpers.Go(func() { done <- job() })
}

func (o *owner) finishJob() {
	if o.job != nil {
		(<-o.job)()
		o.job = nil
	}
}

// adopt takes over the nginx of a killed predecessor. It goes on serving what
// it serves until the first offer.
func (o *owner) adopt(ctx context.Context) {
	digest, err := o.master.Adopt(ctx)
	if err != nil {
		o.options.Log.Debug("no nginx to take over", "reason", err)
		return
	}
	o.options.Log.Info("took over a running nginx", "pid", o.master.State().PID, "digest", digest)
	o.served = &generation{config: nginxgen.Config{Digest: digest}}
	o.supervise(ctx)
}

// supervise starts nginx, or watches the one that was adopted.
func (o *owner) supervise(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	o.stop = func() {
		cancel()
		<-ended
	}
	o.helpers.Go(func() {
		defer close(ended)
		o.master.Run(ctx)
	})
}

func (o *owner) offered(new offer) {
	o.options.Log.Info("Configuration changed, updating components...", "source", new.source, "digest", new.table.Digest())
	o.numbered++
	new.number = o.numbered
	o.wanted, o.dirty, o.makeDo = &new, true, false
	o.again = time.Time{}
}

func (o *owner) offeredLastGood(last offer) {
	o.lastGood = &last
	if o.rejected != nil {
		o.tryLastGood()
	}
}

// tryLastGood lets what was in force before a restart be tried next, if it
// is known and nothing is in force.
func (o *owner) tryLastGood() bool {
	if o.lastGood == nil || o.table() != nil {
		return false
	}
	if o.wanted == nil {
		o.wanted = o.lastGood
	}
	o.makeDo, o.dirty, o.again = true, true, time.Time{}
	return true
}

// unreadable is an offer that never became one.
func (o *owner) unreadable(stage, source string, problems []string) {
	o.numbered++
	o.reject(offer{source: source, number: o.numbered}, stage, problems)
	o.tryLastGood()
}

// reject records why a config is not in force, unless a newer one was
// rejected too.
func (o *owner) reject(what offer, stage string, problems []string) {
	o.options.Log.Error("config rejected, the last good one stays in force", "source", what.source, "stage", stage, "problems", problems)
	o.results[stage]++
	if what.number < o.refused {
		return
	}
	o.refused = what.number
	o.rejected = &status.Rejected{At: time.Now(), Stage: stage, Problems: problems}
}

// leave is Agent.Drain.
func (o *owner) leave() {
	o.leaving = true
	o.sendAway()
}

// sendAway takes away what lets clients of the config in force stay, once the
// proxy is leaving.
func (o *owner) sendAway() {
	if !o.leaving || o.served == nil || !o.nginx.Version.NeedsDrain() {
		return
	}
	if err := o.dir.drain(o.served.config.Digest); err != nil {
		o.options.Log.Warn("clients are not asked to reconnect", "error", err)
	}
}

// fallback takes a verdict over; who made it has said why in the log.
func (o *owner) fallback(name migration.Name, new verdict) { o.verdicts[name] = new }

// tidy takes away what nobody uses any more.
func (o *owner) tidy(now time.Time) {
	table := o.table()
	if o.job != nil || table == nil {
		return
	}
	stale := func(name migration.Name) bool { return table.Service(name) == nil }
	maps.DeleteFunc(o.verdicts, func(name migration.Name, _ verdict) bool { return stale(name) })
	maps.DeleteFunc(o.applied, func(name migration.Name, _ weights.State) bool { return stale(name) })
	if err := o.store.Prune(func(name migration.Name) bool { return !stale(name) }, now); err != nil {
		o.options.Log.Error("tidying up", "error", err)
	}
}

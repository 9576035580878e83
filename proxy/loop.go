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

// version is one version of the config: its table and where it was read.
// Versions, also the invalid ones, are numbered from 1 in the order in which
// they arrive; the one in force before a restart has number 0.
type version struct {
	table  *migration.Table
	source string
	number int
}

// generation is a version with the nginx config that was generated from it.
type generation struct {
	version
	config    nginxgen.Config
	endpoints nginxgen.Endpoints
	files     nginxgen.Files
}

// fallbackState is the state of a service's circuit breaker.
type fallbackState struct {
	phase  status.Phase
	reason string
}

// tripped is false for Recovering: recovery is a trial with real traffic.
func (f fallbackState) tripped() bool { return f.phase == status.FallenBack }

// pruneInterval is the time between two searches for unused shares and stale
// weights.
const pruneInterval = 5 * time.Second

// agentLoop holds all state that changes; only the goroutine of Run uses it.
// A step that takes long (DNS, nginx -t, reading back) is a job: it runs in
// its own goroutine on values only, one job at a time, and returns a function
// that the loop calls. So a fallback, and less traffic to new, apply at once
// while a job runs.
//
//	ApplyTable -> wanted, dirty -> job prepare -> prepared -> job commit -> served
//	                 ^ addresses changed             | not before nextCommitAt
type agentLoop struct {
	*Agent
	store    *weights.Store
	observer Observer

	wanted      *version    // the newest that was not rejected
	dirty       bool        // wanted must be prepared (again)
	lastGood    *version    // see Agent.SetLastGood
	useLastGood bool        // prepare lastGood next, unless a table is in force by then
	prepared    *generation // tested, to be committed
	served      *generation // in force; its table is nil while nginx is only adopted

	job          chan func() // the result of the running job, or nil
	nextCommitAt time.Time
	retryAt      time.Time // when a failed prepare is tried again
	retries      int       // in a row
	addresses    changedAddresses

	fallbacks      map[migration.Name]fallbackState
	positions      map[migration.Name]migration.Share // of ramps; never changed
	applied        map[migration.Name]weights.State
	lastNumber     int // of a version, valid or not
	rejected       *status.Rejected
	rejectedNumber int      // the version that rejected is about
	refused        *version // the newest, if nginx refused it; its certificate files may come
	since          time.Time
	reloads        int
	results        map[string]uint64 // see status.Config.Results

	helpers   sync.WaitGroup
	stopNginx func() // nil until nginx was started
	draining  bool   // see Agent.Drain
}

func newAgentLoop(a *Agent, store *weights.Store, observer Observer) *agentLoop {
	return &agentLoop{
		Agent: a, store: store, observer: observer,
		fallbacks: map[migration.Name]fallbackState{},
		applied:   map[migration.Name]weights.State{},
		results:   map[string]uint64{},
	}
}

func (l *agentLoop) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer l.helpers.Wait()
	defer cancel()
	l.adoptNginx(ctx)
	prune := time.NewTicker(pruneInterval)
	defer prune.Stop()
	for {
		l.turn(ctx)
		select {
		case <-ctx.Done():
			l.finishJob()
			return
		case <-l.inbox.wake:
			for _, task := range l.inbox.takeAll() {
				task(l)
			}
		case finish := <-l.job:
			l.job = nil
			finish()
		case <-l.names.Changed():
			l.noteAddresses()
		case <-l.certs.Changed():
			l.certFilesChanged()
		case <-l.nextJobTimer():
		case now := <-prune.C:
			l.prune(now)
		}
	}
}

// turn does what the state asks for. Traffic moves first; a reload may wait.
func (l *agentLoop) turn(ctx context.Context) {
	l.applyWeights()
	l.takeAddresses(time.Now())
	switch {
	case l.job != nil:
	case l.prepared != nil && !time.Now().Before(l.nextCommitAt):
		l.commit(ctx)
	case l.dirty && !time.Now().Before(l.retryAt):
		l.prepare(ctx)
	}
	l.publish()
}

// table is the table in force, or nil.
func (l *agentLoop) table() *migration.Table {
	if l.served == nil {
		return nil
	}
	return l.served.table
}

// nextJobTimer fires when a job that has to wait may begin.
func (l *agentLoop) nextJobTimer() <-chan time.Time {
	switch {
	case l.job != nil:
		return nil
	case l.prepared != nil:
		return time.After(time.Until(l.nextCommitAt))
	case l.dirty:
		return time.After(time.Until(l.retryAt))
	case l.addresses.pending:
		// Those that wait for old workers to end are looked at with each prune.
		if wait := time.Until(l.addresses.pace.next(l.addressUrgency())); wait > 0 {
			return time.After(wait)
		}
	}
	return nil
}

// startJob runs a job in its own goroutine; the loop calls what it returns.
func (l *agentLoop) startJob(job func() func()) {
	done := make(chan func(), 1)
	l.job = done
	l.helpers.Go(func() { done <- job() })
}

func (l *agentLoop) finishJob() {
	if l.job != nil {
		(<-l.job)()
		l.job = nil
	}
}

// adoptNginx takes over the nginx of a killed predecessor. That nginx serves
// its config until the first version is put in force.
func (l *agentLoop) adoptNginx(ctx context.Context) {
	digest, err := l.master.Adopt(ctx)
	if err != nil {
		l.options.Log.Debug("no running nginx to take over", "error", err)
		return
	}
	l.options.Log.Info("took over a running nginx", "pid", l.master.State().PID, "nginx_config", digest)
	l.served = &generation{config: nginxgen.Config{Digest: digest}}
	l.superviseNginx(ctx)
}

// superviseNginx starts nginx, or watches the one that was adopted.
func (l *agentLoop) superviseNginx(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	l.stopNginx = func() {
		cancel()
		<-ended
	}
	l.helpers.Go(func() {
		defer close(ended)
		l.master.Run(ctx)
	})
}

// acceptTable is the loop's part of Agent.ApplyTable.
func (l *agentLoop) acceptTable(newest version) {
	l.options.Log.Info("Configuration changed, updating components...", "source", newest.source, "digest", newest.table.Digest())
	l.lastNumber++
	newest.number = l.lastNumber
	l.wanted, l.dirty, l.useLastGood = &newest, true, false
	l.retryAt = time.Time{}
}

// acceptLastGood is the loop's part of Agent.SetLastGood.
func (l *agentLoop) acceptLastGood(lastGood version) {
	l.lastGood = &lastGood
	if l.rejected != nil {
		l.tryLastGood()
	}
}

// tryLastGood makes the table from before the restart the next to prepare, if
// there is one and no table is in force.
func (l *agentLoop) tryLastGood() bool {
	if l.lastGood == nil || l.table() != nil {
		return false
	}
	if l.wanted == nil {
		l.wanted = l.lastGood
	}
	l.useLastGood, l.dirty, l.retryAt = true, true, time.Time{}
	return true
}

// rejectInvalid is the loop's part of Agent.ReportInvalid.
func (l *agentLoop) rejectInvalid(stage, source string, problems []string) {
	l.lastNumber++
	l.reject(version{source: source, number: l.lastNumber}, stage, problems)
	l.tryLastGood()
}

// reject records why a version is not in force, unless a newer one was
// rejected already.
func (l *agentLoop) reject(bad version, stage string, problems []string) {
	l.options.Log.Error("config rejected, the last good one stays in force", "source", bad.source, "stage", stage, "problems", problems)
	l.results[stage]++
	if bad.number < l.rejectedNumber {
		return
	}
	l.rejectedNumber = bad.number
	l.rejected = &status.Rejected{At: time.Now(), Stage: stage, Problems: problems}
}

// startDraining is the loop's part of Agent.Drain.
func (l *agentLoop) startDraining() {
	l.draining = true
	l.drainServed()
}

// drainServed ends keep-alive for the clients of the config in force, once
// the proxy drains.
func (l *agentLoop) drainServed() {
	if !l.draining || l.served == nil || !l.nginx.Version.NeedsDrain() {
		return
	}
	if err := l.dir.drain(l.served.config.Digest); err != nil {
		l.options.Log.Warn("cannot ask clients to reconnect", "error", err)
	}
}

// prune removes the state and the weights of services that the table in force
// does not have, and restores weights that somebody has changed.
func (l *agentLoop) prune(now time.Time) {
	table := l.table()
	if l.job != nil || table == nil {
		return
	}
	inTable := func(name migration.Name) bool { return table.Service(name) != nil }
	maps.DeleteFunc(l.fallbacks, func(name migration.Name, _ fallbackState) bool { return !inTable(name) })
	maps.DeleteFunc(l.applied, func(name migration.Name, _ weights.State) bool { return !inTable(name) })
	l.restoreWeights()
	if err := l.store.Prune(inTable, now); err != nil {
		l.options.Log.Error("cannot remove unused weights", "error", err)
	}
}

package proxy

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/beat"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy/nginx"
	"github.com/migration-proxy/migration-proxy/proxy/weights"
)

// sideWatch asks nginx again and again which side requests go to. nginx looks for a
// file for each request, and takes everything that keeps it from finding one as
// "old": without this check a directory that the workers may not enter, a full disk
// or a missing symlink would end a migration silently.
type sideWatch struct {
	agent  *Agent
	state  atomic.Pointer[sideState]
	failed int // checks in a row
	next   int // the service that is asked about next
}

// sideFault is what nginx cannot do.
type sideFault string

const (
	faultBlind  sideFault = "nginx does not see which requests belong to new, all go to old"
	faultSilent sideFault = "nginx does not answer, its workers hang"
	faultFull   sideFault = "nginx has no connection left, requests fail"
)

// sideState is the result of the checks.
type sideState struct {
	fault sideFault // "": none
	why   string
	// wrong are the services whose requests do not go where their share says.
	wrong map[migration.Name]string
}

const (
	sideInterval = time.Second
	// firstSideInterval is the time between checks until the first result.
	firstSideInterval = 20 * time.Millisecond
	// tolerated is how many checks in a row may fail before the result counts: a
	// share may change between two questions.
	tolerated = 2
	// servicesAtATime are asked about in one check, one group after another.
	servicesAtATime = 5
)

// checkedWeight is the weight of weights.CheckedService.
var checkedWeight = weights.State{Share: weights.CheckedShare, Enabled: true}

// errNotAsked is the state before the first check.
var errNotAsked = errors.New("nginx was not yet asked whether it sees the shares")

// run checks until ctx ends.
func (w *sideWatch) run(ctx context.Context) {
	for {
		interval := sideInterval
		if w.state.Load() == nil {
			interval = firstSideInterval
		}
		select {
		case <-ctx.Done():
			return
		case <-beat.After(interval):
			w.check(ctx)
		}
	}
}

// check asks once.
func (w *sideWatch) check(ctx context.Context) {
	table := w.agent.Table()
	if table == nil || w.agent.master.State().PID == 0 {
		return
	}
	wrong, err := w.ask(ctx, weights.CheckedService, checkedWeight)
	if err == nil && wrong == "" {
		err = w.agent.nginx.Hop(ctx)
	}
	if err == nil && wrong == "" {
		w.failed = 0
		w.seen(ctx, table)
		return
	}
	if w.failed++; ctx.Err() != nil || w.failed <= tolerated && w.state.Load() != nil {
		return
	}
	switch {
	case errors.Is(err, nginx.ErrNoConnection):
		w.report(faultFull, err.Error())
	case err != nil:
		w.report(faultSilent, err.Error())
	default:
		w.report(faultBlind, wrong+w.agent.dir.obstacle())
	}
}

// report records a fault. Before the first answer nginx may just not be there yet, so only
// an answer counts then.
func (w *sideWatch) report(fault sideFault, why string) {
	before := w.state.Load()
	switch {
	case before == nil && fault != faultBlind:
		return
	case before == nil:
		before = &sideState{}
	case before.fault == fault && (fault != faultBlind || before.why == why): // errors differ from check to check
		return
	}
	w.agent.options.Log.Error("nginx cannot do its work", "fault", string(fault), "problem", why)
	after := &sideState{fault: fault, why: why, wrong: before.wrong}
	if fault == faultBlind {
		after.wrong = nil // it is so for all
	}
	w.state.Store(after)
}

// seen records that nginx sees the files, and asks about the next services.
func (w *sideWatch) seen(ctx context.Context, table *migration.Table) {
	before := w.state.Load()
	if before == nil || before.fault != "" {
		w.agent.options.Log.Info("nginx sees the shares")
		before = &sideState{}
	}
	after := &sideState{wrong: map[migration.Name]string{}}
	services := table.Services()
	for i := range services {
		name := services[i].Name
		if problem := before.wrong[name]; problem != "" {
			after.wrong[name] = problem
		}
	}
	for range min(servicesAtATime, len(services)) {
		w.next = (w.next + 1) % len(services)
		w.askAbout(ctx, services[w.next].Name, after)
	}
	w.state.Store(after)
}

// askAbout records whether the requests of a service go where its symlink says.
func (w *sideWatch) askAbout(ctx context.Context, name migration.Name, result *sideState) {
	problem := ""
	for range tolerated + 1 {
		state, err := weights.Read(string(w.agent.dir), name)
		if err != nil {
			return // the loop writes it again, see agentLoop.restoreWeights
		}
		problem, err = w.ask(ctx, name, state)
		if err != nil {
			return
		}
		if problem == "" {
			break
		}
	}
	switch {
	case problem == "":
		if result.wrong[name] != "" {
			w.agent.options.Log.Info("nginx sees the share of a service again", "service", name)
		}
		delete(result.wrong, name)
	case result.wrong[name] == "":
		w.agent.options.Log.Error("nginx does not see the share of a service", "service", name, "problem", problem)
		result.wrong[name] = problem
	}
}

// ask asks about the last bucket of new and the first one of old. It gives what is
// wrong, or "".
func (w *sideWatch) ask(ctx context.Context, name migration.Name, state weights.State) (wrong string, err error) {
	share := effectiveShare(state)
	for bucket, want := range map[migration.Share]migration.Side{share - 1: migration.New, share: migration.Old} {
		if bucket < 0 || bucket >= migration.FullShare {
			continue
		}
		got, err := w.agent.nginx.Side(ctx, name, migration.Bucket(bucket))
		if err != nil {
			return "", err
		}
		if got != want {
			return fmt.Sprintf("weights/%s: bucket %d goes to %s instead of %s", name, bucket, got, want), nil
		}
	}
	return "", nil
}

// problem is why nginx cannot do its work; an error before the first check.
func (w *sideWatch) problem() error {
	state := w.state.Load()
	switch {
	case state == nil:
		return errNotAsked
	case state.fault != "":
		return fmt.Errorf("%s: %s", state.fault, state.why)
	}
	return nil
}

// has tells whether this is what nginx cannot do.
func (w *sideWatch) has(fault sideFault) bool {
	state := w.state.Load()
	return state != nil && state.fault == fault
}

// SideProblem is why nginx does not see the shares, so that all requests go to old, why
// it answers nothing, or why it has no connection for requests; nil if none of this is
// so. It is an error too while nginx was not asked yet.
func (a *Agent) SideProblem() error { return a.sides.problem() }

// problemOf is why the requests of a service do not go where its share says, or "".
func (w *sideWatch) problemOf(name migration.Name) string {
	state := w.state.Load()
	if state == nil {
		return ""
	}
	return state.wrong[name]
}

package proxy

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/nginxgen"
	"github.com/migration-proxy/migration-proxy/proxy/nginx"
)

// prepare runs the steps that can fail and change nothing: resolve, generate,
// stage, nginx -t. The names in force are kept fresh too: it may be long until
// the wanted table replaces them.
func (o *owner) prepare(ctx context.Context) {
	o.dirty = false
	wanted, served, table := *o.wanted, o.served, o.table()
	if o.makeDo && table == nil {
		wanted = *o.lastGood
	}
	o.makeDo = false
	if o.digest() == "" {
		served = nil
	}
	o.start(func() func() {
		o.names.Resolve(ctx, backends(wanted.table, table))
		next, stage, err := o.produce(ctx, wanted, served)
		return func() { o.prepared(ctx, next, stage, err) }
	})
}

// digest is that of the nginx config in force; "" while there is none, or
// while nginx would load another after a crash.
func (o *owner) digest() string {
	if o.served == nil || o.dir.current() != o.served.config.Digest {
		return ""
	}
	return o.served.config.Digest
}

// produce makes a generation of an offer; served is the one in force, nil if
// there is none. Its error belongs to the stage.
func (a *Agent) produce(ctx context.Context, wanted offer, served *generation) (next *generation, stage string, err error) {
	addresses := a.names.Snapshot(backends(wanted.table))
	next = &generation{offer: wanted, endpoints: addresses.Endpoints}
	if served.sameText(next) {
		next.config = served.config
		return next, "", nil
	}
	if next.config, err = nginxgen.Generate(wanted.table, next.endpoints, a.options.Params); err != nil {
		return next, "generate", err
	}
	if served != nil && next.config.Digest == served.config.Digest {
		return next, "", nil
	}
	file, err := a.dir.stage(next.config)
	if err != nil {
		return next, "apply", err
	}
	began := time.Now()
	err = a.nginx.Test(ctx, file)
	next.took = time.Since(began)
	return next, "test", err
}

// sameText tells, without writing it, that nginx's config would be the same:
// writing takes 0.3 s for 5,000 services, and most changes are of a share.
func (g *generation) sameText(next *generation) bool {
	return g != nil && g.table != nil && g.table.SameStructure(next.table) &&
		maps.EqualFunc(g.endpoints, next.endpoints, slices.Equal)
}

// backends are those of all tables that are not nil.
func backends(tables ...*migration.Table) []migration.Backend {
	var all []migration.Backend
	for _, table := range tables {
		if table == nil {
			continue
		}
		for _, service := range table.Services() {
			all = append(all, service.OldBackend, service.NewBackend)
		}
	}
	return all
}

// prepared takes the result: refused, nothing for nginx to do, or ready.
func (o *owner) prepared(ctx context.Context, next *generation, stage string, err error) {
	o.ready = nil
	switch {
	case ctx.Err() != nil:
	case err != nil:
		o.refuse(stage, next, err)
	case next.config.Digest == o.digest():
		o.weighNew(next.table)
		o.inForce(next)
	default:
		o.ready = next
	}
}

// refuse goes back to what is served, or else to what was so before a restart.
// Where the machine was short of something, or nothing is served, it tries
// again, a second later, then two, up to half a minute.
func (o *owner) refuse(stage string, next *generation, err error) {
	o.reject(next.offer, stage, problems(err))
	newest := o.wanted.number == next.number
	switch {
	case newest && next.number > 0 && o.tryLastGood():
	case o.table() == nil, newest && machineShort(err):
		o.again = time.Now().Add(min(time.Second<<min(o.failures, 5), 30*time.Second))
		o.failures++
		o.dirty = true
	case newest:
		// Looked at once more, so that its names are kept fresh again.
		o.wanted, o.dirty = &o.served.offer, next.number != o.served.number
	}
}

func problems(err error) []string {
	var lines nginx.Problems
	if errors.As(err, &lines) {
		return lines
	}
	return []string{err.Error()}
}

// inForce notes that a generation is served.
func (o *owner) inForce(next *generation) {
	if table := o.table(); table == nil || table.Digest() != next.table.Digest() || next.number != o.served.number {
		o.since = time.Now()
		o.results["applied"]++
		o.options.Log.Info("config in force", "source", next.source, "digest", next.table.Digest(), "nginx_config", next.config.Digest)
		o.observer.ConfigApplied(next.table)
	}
	o.served, o.failures = next, 0
	o.dirty = o.dirty || next.number != o.wanted.number
	if next.number >= o.refused {
		o.rejected = nil
	}
}

// commit runs the steps that change something. What nginx will ask for is
// there before nginx is told.
func (o *owner) commit(ctx context.Context) {
	next, before := o.ready, ""
	o.ready = nil
	if o.served != nil {
		before = o.served.config.Digest
	}
	if err := o.store.AddRules(next.config.Rules); err != nil {
		o.refuse("apply", next, err)
		return
	}
	o.weighNew(next.table)
	o.start(func() func() {
		err := o.replace(ctx, before, next)
		return func() { o.committed(ctx, next, err) }
	})
}

func (o *owner) committed(ctx context.Context, next *generation, err error) {
	o.notBefore = time.Now().Add(o.options.ReloadEvery)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		o.refuse("apply", next, err)
	default:
		o.reloads++
		o.inForce(next)
	}
	o.sendAway()
}

// replace lets nginx serve another config, and puts the one before back when
// nginx does not. The owner leaves nginx alone while it runs.
func (o *owner) replace(ctx context.Context, before string, next *generation) error {
	o.master.Forget()
	defer o.master.Forget() // later complaints are about something else
	digest, patience := next.config.Digest, o.options.ReadbackTimeout+3*next.took
	err := o.load(ctx, before, digest)
	if err == nil {
		err = o.readBack(ctx, digest, patience)
	}
	if err == nil {
		o.master.AwaitReplaced()
		o.clear(before, digest)
		return nil
	}
	err = append(o.master.Complaints(), err.Error())
	if ctx.Err() != nil {
		return err
	}
	return o.putBack(ctx, before, patience, err)
}

// clear keeps the config before for those who want to compare.
func (o *owner) clear(before, now string) {
	if err := o.dir.forget(before, now); err != nil {
		o.options.Log.Warn("tidying up", "error", err)
	}
}

// load swaps, drains and reloads.
func (o *owner) load(ctx context.Context, before, next string) error {
	if err := errors.Join(o.dir.keep(next), o.dir.swap(next)); err != nil {
		return err
	}
	if o.stop == nil {
		o.supervise(ctx)
		return nil
	}
	if before != next && o.nginx.Version.NeedsDrain() {
		if err := o.drain(ctx, before); err != nil {
			return err
		}
	}
	o.reload()
	return nil
}

// reload tells nginx. No master at this moment is no failure: the next one
// loads the current config. Only reading back tells.
func (o *owner) reload() {
	if err := o.master.Reload(); err != nil {
		o.options.Log.Warn("nginx was not told to reload", "error", err)
	}
}

// drain gives clients of old workers the time to hear that they should
// reconnect: a reload closes idle connections, and a request that is just
// being sent on one is lost.
func (o *owner) drain(ctx context.Context, digest string) error {
	if err := o.dir.drain(digest); err != nil {
		return err
	}
	timer := time.NewTimer(o.options.DrainTime)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// readBack waits for nginx to serve a config. A large one takes as long to
// load as it took to test, and more.
func (o *owner) readBack(ctx context.Context, digest string, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return o.nginx.AwaitDigest(ctx, digest)
}

// putBack restores the config before, and gives why that was necessary. With
// none before, nginx is ended.
func (o *owner) putBack(ctx context.Context, before string, patience time.Duration, why error) error {
	if before == "" {
		o.stop()
		o.stop = nil
		return why
	}
	err := errors.Join(o.dir.keep(before), o.dir.swap(before))
	o.reload()
	if err = errors.Join(err, o.readBack(ctx, before, patience)); err != nil {
		o.options.Log.Error("the config before could not be put back", "digest", before, "error", err)
	}
	return why
}

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

// prepare starts the job with the steps that can fail and change nothing:
// resolve, generate, stage, nginx -t of what is new. The names of the table in force are
// resolved too, because it may stay for long.
func (l *agentLoop) prepare(ctx context.Context) {
	l.dirty = false
	wanted, served, inForce := *l.wanted, l.served, l.table()
	if l.useLastGood && inForce == nil {
		wanted = *l.lastGood
	}
	l.useLastGood = false
	if l.servedDigest() == "" {
		served = nil
	}
	tables := l.tables(wanted.table)
	var keep nginxgen.Endpoints
	if l.addresses.pending && l.served != nil {
		keep = l.served.endpoints
	}
	l.startJob(func() func() {
		l.names.Resolve(ctx, backends(wanted.table, inForce))
		files := l.certs.Need(tables...)
		next, stage, err := l.newGeneration(ctx, &generation{version: wanted, files: files, endpoints: keep}, served)
		return func() { l.finishPrepare(ctx, next, stage, err) }
	})
}

// servedDigest is the digest of the nginx config in force. It is "" while
// there is none, and while nginx would load another config after a crash.
func (l *agentLoop) servedDigest() string {
	if l.served == nil || l.dir.current() != l.served.config.Digest {
		return ""
	}
	return l.served.config.Digest
}

// newGeneration generates, stages and tests the nginx config of a generation with
// its version, files, and the addresses that stay; served is the generation in force,
// or nil. On an error it returns the stage that failed.
//
// nginx tests what is not in force yet: it read the rest when that came in force, and it
// reads all once more before it serves it (ADR 45).
func (a *Agent) newGeneration(ctx context.Context, next, served *generation) (_ *generation, stage string, err error) {
	addresses := a.names.Current(backends(next.table)).Endpoints
	keepAddresses(addresses, next.endpoints)
	next.endpoints = addresses
	if served.hasSameText(next) {
		next.config = served.config
		return next, "", nil
	}
	params := a.options.Params
	params.Files = next.files
	if next.config, err = nginxgen.Generate(next.table, next.endpoints, params); err != nil {
		return next, "generate", err
	}
	if served != nil && next.config.Digest == served.config.Digest {
		return next, "", nil
	}
	untested, err := served.untested(next, params)
	if err != nil {
		return next, "generate", err
	}
	file, err := a.dir.stage(next.config)
	if err == nil && untested.Digest != next.config.Digest {
		file, err = a.dir.stage(untested)
	}
	if err != nil {
		return next, "apply", err
	}
	return next, "test", a.nginx.Test(ctx, file)
}

// untested is a config of those services that the next generation has and the one in force
// has not, or not with these addresses; of all if something that concerns all is new.
func (g *generation) untested(next *generation, params nginxgen.Params) (nginxgen.Config, error) {
	if g == nil || g.table == nil || !g.table.SameGlobal(next.table) || !g.files.Equal(next.files) {
		return next.config, nil
	}
	part, err := next.table.Subset(func(s *migration.Service) bool {
		served := g.table.Service(s.Name)
		return served == nil || !served.SameStructure(s) || slices.ContainsFunc(s.Backends(), func(b migration.Backend) bool {
			return !slices.Equal(g.endpoints[b], next.endpoints[b])
		})
	})
	if err != nil {
		return nginxgen.Config{}, err
	}
	return nginxgen.Generate(part, next.endpoints, params)
}

// hasSameText says, without generating it, whether the next nginx config would
// be the same: generating takes 0.3 s for 5,000 services, and most changes are
// changes of a share.
func (g *generation) hasSameText(next *generation) bool {
	return g != nil && g.table != nil && g.table.SameStructure(next.table) &&
		maps.EqualFunc(g.endpoints, next.endpoints, slices.Equal) && g.files.Equal(next.files)
}

// backends lists the backends of all tables that are not nil.
func backends(tables ...*migration.Table) []migration.Backend {
	var all []migration.Backend
	for _, table := range tables {
		if table == nil {
			continue
		}
		services := table.Services()
		for i := range services {
			all = append(all, services[i].Backends()...)
		}
	}
	return all
}

// finishPrepare rejects a generation that failed, puts one in force that
// nginx serves already, and keeps any other for commit.
func (l *agentLoop) finishPrepare(ctx context.Context, next *generation, stage string, err error) {
	l.prepared = nil
	switch {
	case ctx.Err() != nil:
	case err != nil:
		l.rejectGeneration(stage, next, err)
	case next.config.Digest == l.servedDigest():
		l.applyNewWeights(next.table)
		l.setServed(next)
	default:
		l.prepared = next
	}
}

// rejectGeneration records the rejection and decides what is prepared next:
// the last good table, if nothing is served; the same version again after 1,
// 2, 4 ... 30 s, if the machine was at fault or nothing is served; otherwise
// nothing. Certificate files are refused only if nginx read them.
func (l *agentLoop) rejectGeneration(stage string, bad *generation, err error) {
	machine := isMachineFault(err)
	if !machine && l.refuseCertFiles(bad, err) {
		l.dirty = true
		return
	}
	l.reject(bad.version, stage, problems(err))
	newest := l.wanted.number == bad.number
	if newest && stage != "generate" {
		l.refused = l.wanted
	}
	switch {
	case newest && bad.number > 0 && l.tryLastGood():
	case l.table() == nil, newest && machine:
		l.retryAt = time.Now().Add(min(time.Second<<min(l.retries, 5), 30*time.Second))
		l.retries++
		l.dirty = true
	case newest:
		// The served version is prepared again, so that its names are refreshed.
		l.wanted, l.dirty = &l.served.version, bad.number != l.served.number
	}
}

func problems(err error) []string {
	var lines nginx.Problems
	if errors.As(err, &lines) {
		return lines
	}
	return []string{err.Error()}
}

// warnOfLoops names the backends that are this proxy itself.
func (l *agentLoop) warnOfLoops(next *generation) {
	for backend, addresses := range next.endpoints {
		if slices.ContainsFunc(addresses, l.options.Params.IsOwn) && (l.served == nil || !slices.Equal(addresses, l.served.endpoints[backend])) {
			l.options.Log.Warn("a backend is this proxy itself, its requests get 508", "backend", backend, "addresses", addresses)
		}
	}
}

// setServed records that a generation is in force.
func (l *agentLoop) setServed(next *generation) {
	if table := l.table(); table == nil || table.Digest() != next.table.Digest() || next.number != l.served.number {
		l.since = time.Now()
		l.results["applied"]++
		l.options.Log.Info("config in force", "source", next.source, "digest", next.table.Digest(), "nginx_config", next.config.Digest)
		l.observer.ConfigApplied(next.table)
	}
	l.warnOfLoops(next)
	if l.refused != nil && l.refused.number <= next.number {
		l.refused = nil
	}
	previous := l.served
	l.served, l.retries = next, 0
	l.pruneCertFiles(previous)
	l.dirty = l.dirty || next.number != l.wanted.number
	if next.number >= l.rejectedNumber {
		l.rejected = nil
	}
}

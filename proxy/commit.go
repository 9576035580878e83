package proxy

import (
	"context"
	"errors"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/pause"
	"github.com/migration-proxy/migration-proxy/nginxgen"
)

// commit starts the job with the steps that change something. The files that
// the new config refers to exist before nginx loads it.
func (l *agentLoop) commit(ctx context.Context) {
	next, previous := l.prepared, ""
	l.prepared = nil
	if l.served != nil {
		previous = l.served.config.Digest
	}
	if err := l.store.AddRules(next.config.Rules); err != nil {
		l.rejectGeneration("apply", next, err)
		return
	}
	l.applyNewWeights(next.table)
	l.startJob(func() func() {
		err := l.replaceConfig(ctx, previous, next)
		return func() { l.finishCommit(ctx, next, err) }
	})
}

func (l *agentLoop) finishCommit(ctx context.Context, next *generation, err error) {
	l.nextCommitAt = time.Now().Add(l.options.ReloadEvery)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		l.rejectGeneration("apply", next, err)
	default:
		l.reloads++
		l.setServed(next)
		l.master.EndOldWorkers(l.maxOldWorkers())
	}
	l.drainServed()
}

// replaceConfig makes nginx serve the next config and puts the previous one
// back if nginx does not serve it. The loop does not touch nginx meanwhile.
func (l *agentLoop) replaceConfig(ctx context.Context, previous string, next *generation) error {
	l.master.ClearErrors()
	defer l.master.ClearErrors() // later errors have another reason
	digest, timeout := next.config.Digest, l.options.ReadbackTimeout+loadTime(next.config)
	err := l.load(ctx, previous, digest)
	if err == nil {
		err = l.readBack(ctx, digest, timeout)
	}
	if err == nil {
		l.master.AwaitReplaced()
		l.removeConfigsExcept(previous, digest)
		return nil
	}
	if printed := l.master.RecentErrors(); len(printed) > 0 {
		err = append(printed, err.Error())
	}
	if ctx.Err() == nil {
		l.putBack(ctx, previous, timeout)
	}
	return err
}

// loadTime is what nginx takes at most to load a config: 0.1 s for each MB of text, or 0.6 s
// with old versions, and on a busy machine several times as much.
func loadTime(config nginxgen.Config) time.Duration {
	return time.Duration(len(config.Text)) * 3 * time.Second / 1e6
}

// removeConfigsExcept keeps the previous config too, for users who compare.
func (l *agentLoop) removeConfigsExcept(previous, current string) {
	if err := l.dir.removeExcept(previous, current); err != nil {
		l.options.Log.Warn("cannot remove old nginx configs", "error", err)
	}
}

// load swaps the config, drains the old workers, and reloads or starts nginx.
func (l *agentLoop) load(ctx context.Context, previous, next string) error {
	if err := errors.Join(l.dir.allowKeepAlive(next), l.dir.swap(next)); err != nil {
		return err
	}
	if l.stopNginx == nil {
		l.superviseNginx(ctx)
		return nil
	}
	if previous != next && l.nginx.Version.NeedsDrain() {
		if err := l.drainWorkers(ctx, previous); err != nil {
			return err
		}
	}
	l.reload()
	return nil
}

// reload sends nginx the signal. A missing master is no failure, because the
// next one loads the current config; readBack finds out.
func (l *agentLoop) reload() {
	if err := l.master.Reload(); err != nil {
		l.options.Log.Warn("cannot send nginx the reload signal", "error", err)
	}
}

// drainWorkers gives the clients of the old workers time to learn that they
// should reconnect: a reload closes idle connections, and a request that is
// sent on one at that moment is lost.
func (l *agentLoop) drainWorkers(ctx context.Context, digest string) error {
	if err := l.dir.drain(digest); err != nil {
		return err
	}
	if !pause.For(ctx, l.options.DrainTime) {
		return ctx.Err()
	}
	return nil
}

// readBack waits until nginx serves a config.
func (l *agentLoop) readBack(ctx context.Context, digest string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return l.master.AwaitDigest(ctx, digest)
}

// putBack restores the previous config. Without a previous one it ends nginx.
func (l *agentLoop) putBack(ctx context.Context, previous string, timeout time.Duration) {
	if previous == "" {
		l.stopNginx()
		l.stopNginx = nil
		return
	}
	l.master.ClearErrors()
	err := errors.Join(l.dir.allowKeepAlive(previous), l.dir.swap(previous))
	l.reload()
	if err = errors.Join(err, l.readBack(ctx, previous, timeout)); err != nil {
		l.options.Log.Error("cannot put the previous nginx config back", "nginx_config", previous, "error", err)
	}
}

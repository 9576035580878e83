package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/migration-proxy/migration-proxy/internal/httpapi"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/nginxgen"
	"github.com/migration-proxy/migration-proxy/proxy"
	"github.com/migration-proxy/migration-proxy/proxy/accesslog"
	"github.com/migration-proxy/migration-proxy/proxy/breaker"
	"github.com/migration-proxy/migration-proxy/proxy/health"
)

// forwardChunks is how much of the access log may wait for a slow reader: 16
// chunks of 256 KB.
const forwardChunks = 16

// dataPlane is the proxy put together:
//
//	source -> feed -> agent -> nginx -> access.log ----> tail -> counters, standard output
//	                   |  ^      |                         |         |
//	                   |  |      +--> failures.sock -> guard <- probes
//	                   |  +--------- verdicts -----------+          |
//	                   +------------- status -----------------------+--> HTTP API
type dataPlane struct {
	options   runOptions
	log       *slog.Logger
	agent     *proxy.Agent
	feed      *feed
	guard     *breaker.Breaker
	probes    *health.Checker
	counters  *accesslog.Counters
	forwarder *accesslog.Forwarder // nil: the access log is off
	server    *httpapi.Server
	listener  net.Listener
	draining  atomic.Bool
}

// newDataPlane does all that can fail for good: what it refuses no waiting
// would heal.
func newDataPlane(ctx context.Context, options runOptions, log *slog.Logger) (*dataPlane, error) {
	if err := trustedOwner(options.runtimeDir); err != nil {
		return nil, err
	}
	params, err := options.params()
	if err != nil {
		return nil, err
	}
	p := &dataPlane{options: options, log: log, counters: accesslog.NewCounters(time.Now())}
	p.agent, err = proxy.New(ctx, proxy.Options{
		Params: params, NginxPath: options.nginx, Version: versionText(), Log: log,
	})
	if err != nil {
		return nil, err
	}
	if err := options.portsFree(); err != nil {
		return nil, err
	}
	if err := p.openAccessLog(); err != nil {
		return nil, err
	}
	p.openGuard(params.CAFile)
	from, err := options.source(log)
	if err != nil {
		return nil, err
	}
	p.feed = p.newFeed(from)
	return p, p.openAPI()
}

// breakerObserver gives the circuit breaker what the agent sees.
type breakerObserver struct{ breaker *breaker.Breaker }

func (o breakerObserver) ConfigApplied(table *migration.Table) {
	o.breaker.SetTable(table, time.Now())
}

func (o breakerObserver) NginxLogged(line string) { o.breaker.Complaint(line, time.Now()) }

// openGuard lets the second net watch: what it saw before a restart it knows.
func (p *dataPlane) openGuard(roots string) {
	p.probes = health.New(health.Options{Roots: roots, OnChange: func(key health.Key) { p.guard.Probed(key) }})
	p.guard = breaker.New(breaker.Options{
		StateFile: filepath.Join(p.options.runtimeDir, "fallback.json"),
		Verdict:   p.agent.SetFallback, Addresses: p.agent.Addresses, Health: p.probes, Log: p.log,
		Broken: p.counters.AddBroken,
	})
}

// params are what nginx's config says of this machine.
func (o *runOptions) params() (nginxgen.Params, error) {
	trust, err := systemTrust()
	if err != nil {
		return nginxgen.Params{}, err
	}
	return nginxgen.Params{
		RuntimeDir: o.runtimeDir,
		Listen:     o.listen.AddrPort,
		ListenNew:  o.listenNew.AddrPort,
		IPv6:       (o.listen.everywhere || o.listenNew.everywhere) && hasIPv6(),
		Workers:    o.workerCount,
		CAFile:     trust.file,
		CADir:      trust.dir,
		AnchorFile: trust.anchor,
	}, nil
}

// portsFree tells at once what nginx would only tell in its log. An nginx of
// ours that outlived its agent may have the ports: it will be taken over.
func (o *runOptions) portsFree() error {
	if conn, err := net.Dial("unix", filepath.Join(o.runtimeDir, "admin.sock")); err == nil {
		return conn.Close()
	}
	return errors.Join(tryPort("listen", o.listen), tryPort("listen-new", o.listenNew))
}

func tryPort(flag string, address listenAddress) error {
	listener, err := net.Listen("tcp", address.String())
	if err != nil {
		return cannotListen(flag, err)
	}
	return listener.Close()
}

// cannotListen adds the way out, which depends on what stands in the way.
func cannotListen(flag string, err error) error {
	remedy := "choose another"
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		remedy = "end who has it, or choose another"
	case errors.Is(err, syscall.EACCES):
		remedy = "low ports need CAP_NET_BIND_SERVICE: choose one from 1024 up"
	}
	return fmt.Errorf("%w; %s with --%s or $%s", err, remedy, flag, names.EnvironmentVariable(flag))
}

func (p *dataPlane) openAccessLog() error {
	var target io.Writer
	switch path := p.options.accessLog; path {
	case "off":
		return nil
	case "-":
		target = os.Stdout
	default:
		file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return fmt.Errorf("open access log: %w", err)
		}
		target = file // until the process ends
	}
	p.forwarder = accesslog.NewForwarder(target, forwardChunks, p.log)
	p.counters.NotForwarded = p.forwarder.Dropped
	return nil
}

func (p *dataPlane) openAPI() (err error) {
	p.server, err = httpapi.New(httpapi.Options{
		Alive: p.agent.Alive, Ready: p.ready, Status: p.status, Brief: p.brief,
		Collectors: []prometheus.Collector{p.counters, p.guard}, Log: p.log,
	})
	if err != nil {
		return err
	}
	if p.listener, err = net.Listen("tcp", p.options.http.String()); err != nil {
		return cannotListen("http", err)
	}
	return nil
}

func (p *dataPlane) status() status.Status {
	now := p.brief()
	p.counters.Fill(now.Services, now.Now)
	return now
}

// brief is the status without the figures, which the watcher asks for once a
// second.
func (p *dataPlane) brief() status.Status {
	now := p.agent.Status()
	now.Log = p.counters.Log()
	now.Ready = now.Ready && !p.draining.Load()
	return now
}

func (p *dataPlane) ready() error {
	if p.draining.Load() {
		return errors.New("shutting down")
	}
	now := p.agent.Status()
	switch rejected := now.Config.Rejected; {
	case now.Ready:
		return nil
	case rejected != nil && len(rejected.Problems) > 0:
		return fmt.Errorf("no config is in force: %s", rejected.Problems[0])
	}
	return errors.New("no config is in force yet")
}

// run serves until ctx ends. The log is read and the API answers until nginx
// has finished: its last requests count too.
func (p *dataPlane) run(ctx context.Context) error {
	group, failed := errgroup.WithContext(ctx)
	last, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	group.Go(func() error {
		defer end()
		return p.agent.Run(failed, breakerObserver{p.guard})
	})
	group.Go(func() error { return p.server.Run(last, p.listener) })
	group.Go(p.onceOpened(last, p.readLog))
	group.Go(func() error { return p.feed.run(failed) })
	group.Go(func() error { return p.feed.keep(failed) })
	p.watch(failed, group)
	return group.Wait()
}

// watch is the second net: failures as they happen, probes, time, and the
// operator's word.
func (p *dataPlane) watch(ctx context.Context, group *errgroup.Group) {
	urgent := &accesslog.Urgent{
		Path: filepath.Join(p.options.runtimeDir, "failures.sock"), OnEvent: p.guard.Urgent, Log: p.log,
	}
	group.Go(p.onceOpened(ctx, urgent.Run))
	group.Go(func() error { p.probes.Run(ctx); return nil })
	group.Go(p.onceOpened(ctx, func(ctx context.Context) error { p.guard.Run(ctx); return nil }))
	group.Go(p.onceOpened(ctx, func(ctx context.Context) error {
		return p.persist(ctx, func() error { return p.guard.Serve(ctx, p.options.runtimeDir) })
	}))
}

// persist lets a part fail that traffic can do without, and begin again: nginx
// must not end because of it.
func (p *dataPlane) persist(ctx context.Context, run func() error) error {
	for ctx.Err() == nil {
		if err := run(); err != nil {
			p.log.Error("a part of the proxy failed; trying again", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
	return nil
}

// onceOpened lets a part that uses the runtime directory wait until the agent
// has it. One that cannot be opened is then told by the agent alone.
func (p *dataPlane) onceOpened(ctx context.Context, run func(context.Context) error) func() error {
	return func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-p.agent.RuntimeDirReady():
			return run(ctx)
		}
	}
}

// readLog counts and passes on what nginx writes about requests, from now on:
// what a predecessor has read is not read again.
func (p *dataPlane) readLog(ctx context.Context) error {
	intake := &accesslog.Intake{Counters: p.counters, Forwarder: p.forwarder, OnEvent: p.guard.Batch, Log: p.log}
	tail := &accesslog.Tail{
		Path: filepath.Join(p.options.runtimeDir, "access.log"), AtEnd: true,
		Reopen: p.agent.ReopenLogs, Consume: intake.Consume, Log: p.log,
	}
	reading := func() error { return p.persist(ctx, func() error { return tail.Run(ctx) }) }
	if p.forwarder == nil {
		return reading()
	}
	forwarding, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.forwarder.Run(forwarding)
	}()
	err := reading()
	stop()
	<-done
	return err
}

// obey turns signals into deeds, also while the proxy ends: for the one that
// says "at once". A proxy that was told to end goes on as before for the time
// of --drain, but for /ready: load balancers need it to notice, and clients that
// keep connections alive need an answer that sends them away.
func (p *dataPlane) obey(signals <-chan os.Signal, quit func()) {
	for received := range signals {
		switch {
		case received == syscall.SIGHUP:
			p.feed.source.Reread()
		case !p.draining.Swap(true):
			p.log.Info("Shutting down, requests under way may finish; a second signal does not wait", "signal", received.String(), "drain", p.options.drain)
			p.agent.Drain()
			time.AfterFunc(p.options.drain, quit)
		default:
			p.log.Warn("Shutting down at once", "signal", received.String())
			quit()
			p.hurry()
		}
	}
}

// hurry tells nginx not to wait for its requests; the agent, which waits for
// nginx, then ends too.
func (p *dataPlane) hurry() {
	pid := p.agent.Status().Nginx.PID
	if pid == 0 {
		return
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		p.log.Error("nginx could not be told", "pid", pid, "error", err)
	}
}

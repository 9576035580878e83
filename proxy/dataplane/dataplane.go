package dataplane

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/migration-proxy/migration-proxy/internal/history"
	"github.com/migration-proxy/migration-proxy/internal/httpapi"
	"github.com/migration-proxy/migration-proxy/internal/listen"
	"github.com/migration-proxy/migration-proxy/nginxgen"
	"github.com/migration-proxy/migration-proxy/proxy"
	"github.com/migration-proxy/migration-proxy/proxy/accesslog"
	"github.com/migration-proxy/migration-proxy/proxy/breaker"
	"github.com/migration-proxy/migration-proxy/proxy/cacheroom"
	"github.com/migration-proxy/migration-proxy/proxy/configsync"
	"github.com/migration-proxy/migration-proxy/proxy/localjournal"
	"github.com/migration-proxy/migration-proxy/proxy/localramp"
	"github.com/migration-proxy/migration-proxy/proxy/positions"
	"github.com/migration-proxy/migration-proxy/proxy/sampling"
)

// forwardChunks is how many chunks of the access log, 256 KB each, may wait
// for a slow reader.
const forwardChunks = 16

// dataPlane holds the parts of the proxy.
type dataPlane struct {
	options   Options
	log       *slog.Logger
	params    nginxgen.Params
	agent     *proxy.Agent
	sync      *configsync.Sync
	breaker   *breaker.Breaker
	counters  *accesslog.Counters
	cache     *cacheroom.Guard
	positions *positions.Follower
	sampler   *sampling.Sampler
	asker     *sampling.Asker
	ramps     *localramp.Ramps     // nil: positions come from a source
	journal   *localjournal.Writer // with ramps
	history   *history.Store
	forwarder *accesslog.Forwarder // nil: the access log is off
	server    *httpapi.Server
	listener  net.Listener
	draining  atomic.Bool
}

// newDataPlane takes all steps that can fail for good. Nothing runs yet.
func newDataPlane(ctx context.Context, options Options) (*dataPlane, error) {
	p := &dataPlane{
		options: options, log: options.Log, counters: accesslog.NewCounters(time.Now()), history: history.New(time.Now()),
		cache: &cacheroom.Guard{RuntimeDir: options.RuntimeDir, Room: nginxgen.CacheRoom, Log: options.Log},
	}
	p.asker = &sampling.Asker{Dir: options.RuntimeDir, Scheme: "https", Errors: &sampling.Errors{}}
	p.sampler = sampling.NewSampler(p.asker)
	for _, step := range []func(context.Context) error{
		p.checkRuntimeDir,
		p.describeMachine,
		p.findNginx,
		p.checkPorts,
		p.openAccessLog,
		p.loadBreaker,
		p.loadPositions,
		p.prepareSync,
		p.listenHTTP,
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// checkRuntimeDir also makes the directory: other parts read files in it before the agent
// opens it.
func (p *dataPlane) checkRuntimeDir(context.Context) error {
	root, err := proxy.OpenRuntimeDir(p.options.RuntimeDir)
	if err != nil {
		return err
	}
	return root.Close()
}

// describeMachine collects what nginx's config says about this machine.
func (p *dataPlane) describeMachine(context.Context) error {
	roots, err := findRootCerts()
	if err != nil {
		return err
	}
	o := &p.options
	p.params = nginxgen.Params{
		RuntimeDir: o.RuntimeDir,
		Listen:     o.Listen.AddrPort,
		ListenNew:  o.ListenNew.AddrPort,
		Addresses:  ownAddresses(),
		ListenGRPC: o.ListenGRPC.AddrPort,
		IPv6:       (o.Listen.All || o.ListenNew.All || o.ListenGRPC.All) && hasIPv6(),
		Workers:    o.Workers,
		CAFile:     roots.file,
		CADir:      roots.dir,
		AnchorFile: roots.anchor,

		BehindControllers: o.BehindControllers,
	}
	return nil
}

func (p *dataPlane) findNginx(ctx context.Context) (err error) {
	p.agent, err = proxy.New(ctx, proxy.Options{
		Params: p.params, NginxPath: p.options.Nginx, Version: p.options.Version, Log: p.log,
		MemoryLimit: p.options.Memory,
	})
	return err
}

func (p *dataPlane) checkPorts(context.Context) error { return checkPorts(&p.options) }

func (p *dataPlane) openAccessLog(context.Context) error {
	var target io.Writer
	switch path := p.options.AccessLog; path {
	case AccessLogOff:
		return nil
	case AccessLogStdout:
		target = os.Stdout
	default:
		file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return fmt.Errorf("open access log: %w", err)
		}
		target = file // open until the process ends
	}
	if p.options.JSONLog {
		target = accesslog.NewJSONWriter(target)
	}
	p.forwarder = accesslog.NewForwarder(target, forwardChunks, p.counters, p.log)
	return nil
}

// loadBreaker makes the circuit breaker, which reads its state of before a
// restart.
func (p *dataPlane) loadBreaker(context.Context) error {
	p.breaker = breaker.New(breaker.Options{
		StateFile: p.runtimeFile("fallback.json"), Agent: p.agent, Counters: p.counters,
		Roots: p.params.CAFile, Log: p.log,
	})
	return nil
}

// loadPositions makes the follower of ramps, which reads the positions of before a
// restart, and the ramps and the journal of a local config.
func (p *dataPlane) loadPositions(context.Context) error {
	p.positions = positions.New(positions.Options{
		Source: p.options.Positions, Agent: p.agent, Counters: p.counters, Drills: p.breaker, File: p.runtimeFile("positions.json"), Log: p.log,
	})
	if p.options.Positions == nil {
		p.journal = localjournal.New(p.options.RuntimeDir, p.agent.Table, p.status, p.log)
		p.ramps = localramp.New(localramp.Options{
			Agent: p.agent, Counters: rampCounters{p.counters, p}, Positions: p.positions, Journal: p.journal,
			RuntimeDir: p.options.RuntimeDir, Interval: p.options.Ramps, Log: p.log,
		})
	}
	return nil
}

func (p *dataPlane) prepareSync(context.Context) error {
	p.sync = configsync.New(configsync.Options{
		Source: p.options.Source, Agent: p.agent, Counters: p.counters,
		LastGoodFile: p.runtimeFile("last-good.yaml"), Log: p.log,
	})
	return nil
}

func (p *dataPlane) listenHTTP(context.Context) (err error) {
	p.server, err = httpapi.New(httpapi.Options{
		Alive: p.agent.Alive, Ready: p.ready, Status: p.status, Brief: p.briefStatus, Evidence: p.evidence, History: p.history.Document, Page: p.page(),
		Comparison: p.sampler, Collectors: []prometheus.Collector{p.counters, p.breaker, p.sampler}, Log: p.log,
	})
	if err != nil {
		return err
	}
	p.listener, err = listen.TCP(p.options.HTTP, "http")
	return err
}

func (p *dataPlane) runtimeFile(name string) string {
	return filepath.Join(p.options.RuntimeDir, name)
}

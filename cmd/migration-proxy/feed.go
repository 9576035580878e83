package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/atomicfile"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy"
	"github.com/migration-proxy/migration-proxy/proxy/accesslog"
)

// lookEvery is how often the feed sees what became of what it offered.
const lookEvery = 500 * time.Millisecond

// feed hands each version of the config to the agent, and remembers the last
// one that was served: a proxy that starts while the newest is refused, here
// or by nginx, serves that one.
type feed struct {
	agent    *proxy.Agent
	counters *accesslog.Counters
	log      *slog.Logger
	source   source
	lastGood string // the file that remembers
	recalled bool   // the agent has been told of it

	mu      sync.Mutex
	loader  config.Loader
	offered *migration.Table
	text    []byte // of offered; nil once remembered
	// newest is the config as it is written, where services that left it are
	// offered besides until the time; nil: there are none.
	newest *migration.Table
	until  time.Time
}

func (p *dataPlane) newFeed(from source) *feed {
	return &feed{
		agent: p.agent, counters: p.counters, log: p.log,
		source: from, lastGood: filepath.Join(p.options.runtimeDir, "last-good.yaml"),
	}
}

// run feeds the agent until ctx ends.
func (f *feed) run(ctx context.Context) error { return f.source.Run(ctx, f.take) }

// take is the newest version of the config, or why there is none.
func (f *feed) take(text []byte, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var table *migration.Table
	if err == nil {
		table, err = f.loader.Load(f.source.String(), text)
	}
	if err != nil {
		f.agent.ReportInvalid("load", f.source.String(), strings.Split(err.Error(), "\n"))
		return
	}
	f.text, f.newest = text, nil
	kept := table
	if f.source.Linger() > 0 {
		kept = table.Keeping(f.agent.Table())
	}
	if kept != table {
		f.newest, f.until = table, time.Now().Add(f.source.Linger())
	}
	f.offer(kept)
}

func (f *feed) offer(table *migration.Table) {
	f.offered = table
	f.agent.ApplyTable(table, f.source.String())
	f.countServices(f.agent.Table(), table)
}

// letGo ends the service of those that left the config long enough ago.
func (f *feed) letGo() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.newest != nil && time.Now().After(f.until) {
		f.offer(f.newest)
		f.newest = nil
	}
}

// recall tells the agent, when it has refused the newest config and has none
// in force, what was served last: here, or else by others.
func (f *feed) recall(ctx context.Context) {
	if f.recalled || f.agent.Table() != nil || f.agent.Status().Config.Rejected == nil {
		return
	}
	if text, err := os.ReadFile(f.lastGood); err == nil && f.offerLastGood(f.lastGood, text) {
		return
	}
	if name, text := f.source.LastGood(ctx); text != nil {
		f.offerLastGood(name, text)
	}
}

func (f *feed) offerLastGood(name string, text []byte) bool {
	table, err := config.Load(name, text)
	if err != nil {
		return false // of another version of this program
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.recalled = true
	f.agent.SetLastGood(table, name)
	f.countServices(table, f.offered)
	return true
}

// countServices: requests are counted for the services that nginx may know.
func (f *feed) countServices(tables ...*migration.Table) {
	var names []string
	for _, table := range tables {
		if table == nil {
			continue
		}
		for _, service := range table.Services() {
			names = append(names, string(service.Name))
		}
	}
	f.counters.SetServices(names, time.Now())
}

// keep looks after what was offered, until ctx ends.
func (f *feed) keep(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var seen *migration.Table
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		f.recall(ctx)
		f.letGo()
		served := f.agent.Table()
		if served == nil || served == seen {
			continue
		}
		seen = served
		f.inForce(served)
	}
}

// inForce remembers a config once it is served.
func (f *feed) inForce(served *migration.Table) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if served != f.offered {
		return
	}
	f.countServices(served)
	if f.text == nil {
		return
	}
	if err := atomicfile.Write(f.lastGood, f.text, 0o600); err != nil {
		f.log.Error("A restart will not know this config while the newest is invalid", "error", err)
	}
	f.text = nil
}

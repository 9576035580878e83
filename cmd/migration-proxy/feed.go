package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy"
	"github.com/migration-proxy/migration-proxy/proxy/accesslog"
)

// lookEvery is how often the feed sees what became of what it offered.
const lookEvery = 500 * time.Millisecond

// feed hands each version of the config to the agent, and remembers the last
// one that was served: a proxy that starts while the newest is invalid serves
// that one.
type feed struct {
	agent    *proxy.Agent
	counters *accesslog.Counters
	log      *slog.Logger
	source   source
	lastGood string // the file that remembers

	mu      sync.Mutex
	loader  config.Loader
	offered *migration.Table
	text    []byte   // of offered; nil once remembered
	refused []string // the problems of the newest version; nil if it was offered
}

func (p *dataPlane) newFeed(from source) *feed {
	return &feed{
		agent: p.agent, counters: p.counters, log: p.log,
		source: from, lastGood: filepath.Join(p.options.runtimeDir, "last-good.yaml"),
	}
}

// run feeds the agent until ctx ends.
func (f *feed) run(ctx context.Context) error { return f.source.Run(ctx, f.take) }

// reread takes the content that is known, be it new or not.
func (f *feed) reread() {
	text, err := f.source.Read()
	f.take(text, err)
}

// take is the newest version of the config, or why there is none.
func (f *feed) take(text []byte, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var table *migration.Table
	if err == nil {
		table, err = f.loader.Load(f.source.String(), text)
	}
	if err != nil {
		f.refuse(strings.Split(err.Error(), "\n"))
		return
	}
	f.refused = nil
	f.offer(table, f.source.String(), text)
}

func (f *feed) offer(table *migration.Table, source string, text []byte) {
	f.offered, f.text = table, text
	f.agent.Offer(table, source)
	f.countServices(f.agent.Table(), table)
}

// refuse keeps what is in force. At the start nothing is: then it is what was
// so last.
func (f *feed) refuse(problems []string) {
	if f.offered == nil {
		text, err := os.ReadFile(f.lastGood)
		if err == nil { // else there was none
			f.offerLastGood(f.lastGood, text)
		}
	}
	f.refused = problems
	f.agent.Reject("load", f.source.String(), problems)
}

func (f *feed) offerLastGood(name string, text []byte) bool {
	table, err := config.Load(name, text)
	if err != nil {
		return false // of another version of this program
	}
	f.offer(table, name, nil)
	return true
}

// askOthers looks for the last good config elsewhere, as long as nothing is
// known here.
func (f *feed) askOthers(ctx context.Context) {
	if !f.helpless() {
		return
	}
	name, text := f.source.LastGood(ctx)
	if text == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.offered == nil && f.offerLastGood(name, text) {
		f.agent.Reject("load", f.source.String(), f.refused) // still what is wrong with the newest
	}
}

func (f *feed) helpless() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.offered == nil && f.refused != nil
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
		f.askOthers(ctx)
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
	if err := remember(f.lastGood, f.text); err != nil {
		f.log.Error("A restart will not know this config while the newest is invalid", "error", err)
	}
	f.text = nil
}

// remember writes in one step: a reader sees the text before or this one.
func remember(path string, text []byte) error {
	draft := path + ".tmp"
	if err := os.WriteFile(draft, text, 0o600); err != nil {
		return fmt.Errorf("remember the last good config: %w", err)
	}
	if err := os.Rename(draft, path); err != nil {
		return errors.Join(fmt.Errorf("remember the last good config: %w", err), os.Remove(draft))
	}
	return nil
}

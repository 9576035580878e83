package configsync

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/atomicfile"
	"github.com/migration-proxy/migration-proxy/internal/beat"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// checkInterval is how often Sync looks at what the agent has in force.
const checkInterval = 500 * time.Millisecond

// Agent is the part of *proxy.Agent that Sync needs.
type Agent interface {
	ApplyTable(table *migration.Table, source string)
	SetLastGood(table *migration.Table, source string)
	ReportInvalid(stage, source string, problems []string)
	Table() *migration.Table // in force, or nil
	Status() status.Status
}

// Counters count the requests of the services that nginx may know;
// *accesslog.Counters implements it.
type Counters interface {
	SetServices(names []string, now time.Time)
}

// Options are the parts of a Sync; all are required.
type Options struct {
	Source       Source
	Agent        Agent
	Counters     Counters
	LastGoodFile string // written, and read after a restart
	Log          *slog.Logger
}

// version is one version of the config, or why there is none.
type version struct {
	text []byte
	err  error
}

// Sync hands each version of the config to the agent, and stores the last one
// that was in force.
type Sync struct {
	Options

	// What follows belongs to the goroutine of loop.
	offered         *migration.Table // the newest table that was offered
	unsaved         []byte           // the text of offered; nil once it is stored
	seen            *migration.Table // the table in force at the last check
	lastGoodOffered bool

	// removed is set while offered has services that the config no longer has.
	removed *removal
}

// removal is the table without the removed services, and when to offer it.
type removal struct {
	table *migration.Table
	at    time.Time
}

// New makes a Sync. Nothing happens before Run.
func New(options Options) *Sync { return &Sync{Options: options} }

// Run follows the source until ctx ends, and then returns nil. An error means
// that the source cannot be followed.
func (s *Sync) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	versions := make(chan version)
	group.Go(func() error {
		return s.Source.Run(ctx, func(text []byte, err error) {
			select {
			case versions <- version{text, err}:
			case <-ctx.Done():
			}
		})
	})
	group.Go(func() error {
		s.loop(ctx, versions)
		return nil
	})
	return group.Wait()
}

func (s *Sync) loop(ctx context.Context, versions <-chan version) {
	for {
		select {
		case <-ctx.Done():
			return
		case newest := <-versions:
			s.apply(newest)
		case <-beat.After(checkInterval):
			s.offerLastGood(ctx)
			s.dropRemovedServices()
			s.saveLastGood()
		}
	}
}

// apply offers a version to the agent, or rejects it.
func (s *Sync) apply(newest version) {
	table, err := s.load(newest)
	if err != nil {
		s.Agent.ReportInvalid("load", s.Source.String(), strings.Split(err.Error(), "\n"))
		return
	}
	s.unsaved, s.removed = newest.text, nil
	if linger := s.Source.Linger(); linger > 0 {
		withRemoved := table.WithRemovedServices(s.Agent.Table())
		if withRemoved != table {
			s.removed = &removal{table: table, at: time.Now().Add(linger)}
		}
		table = withRemoved
	}
	s.offer(table)
}

func (s *Sync) load(newest version) (*migration.Table, error) {
	if newest.err != nil {
		return nil, newest.err
	}
	return config.Load(s.Source.String(), newest.text)
}

func (s *Sync) offer(table *migration.Table) {
	s.offered = table
	s.countServices(s.Agent.Table(), table) // before their shares are in force
	s.Agent.ApplyTable(table, s.Source.String())
}

// dropRemovedServices offers the table without the removed services, once they
// have been removed for long enough.
func (s *Sync) dropRemovedServices() {
	if s.removed != nil && time.Now().After(s.removed.at) {
		s.offer(s.removed.table)
		s.removed = nil
	}
}

// offerLastGood offers a stored config when the agent has refused the newest
// one and has none in force: the one in LastGoodFile, or else the one that the
// source has stored.
func (s *Sync) offerLastGood(ctx context.Context) {
	if s.lastGoodOffered || s.Agent.Table() != nil || s.Agent.Status().Config.Rejected == nil {
		return
	}
	if text, err := os.ReadFile(s.LastGoodFile); err == nil && s.offerStored(s.LastGoodFile, text) {
		return
	}
	if name, text := s.Source.LastGood(ctx); text != nil {
		s.offerStored(name, text)
	}
}

// offerStored reports false when the text is not valid: another version of
// this program has written it.
func (s *Sync) offerStored(name string, text []byte) bool {
	table, err := config.Load(name, text)
	if err != nil {
		return false
	}
	s.lastGoodOffered = true
	s.countServices(table, s.offered)
	s.Agent.SetLastGood(table, name)
	return true
}

// saveLastGood stores the text of the offered table once it is in force.
func (s *Sync) saveLastGood() {
	inForce := s.Agent.Table()
	if inForce == nil || inForce == s.seen {
		return
	}
	s.seen = inForce
	if inForce != s.offered {
		return
	}
	s.countServices(inForce)
	if s.unsaved == nil {
		return
	}
	if err := atomicfile.Write(s.LastGoodFile, s.unsaved, 0o600); err != nil {
		s.Log.Error("last good config not stored, a restart with an invalid config would not serve it", "error", err)
	}
	s.unsaved = nil
}

// countServices lets the counters count the services of all tables that are
// not nil.
func (s *Sync) countServices(tables ...*migration.Table) {
	var names []string
	for _, table := range tables {
		if table == nil {
			continue
		}
		for _, service := range table.Services() {
			names = append(names, string(service.Name))
		}
	}
	s.Counters.SetServices(names, time.Now())
}

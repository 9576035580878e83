package certfiles

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/nginxgen"
)

// Options are the places and times of a Store. Dir is required.
type Options struct {
	Dir      string        // of the copies; only the agent's user may enter it
	System   []string      // files with trusted certificates that no table names
	Interval time.Duration // between two looks at the files; 2 s
	Log      *slog.Logger
}

// Store has the copies. Its methods may be called from any goroutine.
type Store struct {
	options Options
	changed chan struct{}

	mu     sync.Mutex
	copies map[source]*copied // of the files that are needed
}

// source is what is read together: one file with trusted certificates, or a
// client certificate and its key.
type source struct{ cert, key string }

func (s source) files() []string {
	if s.key == "" {
		return []string{s.cert}
	}
	return []string{s.cert, s.key}
}

// New makes a Store that has copied nothing yet.
func New(options Options) *Store {
	if options.Interval == 0 {
		options.Interval = 2 * time.Second
	}
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	return &Store{options: options, changed: make(chan struct{}, 1), copies: map[source]*copied{}}
}

// Need says which tables are in use, reads their files if they changed, and gives
// all copies. Files of other tables are no longer followed. Tables may be nil.
func (s *Store) Need(tables ...*migration.Table) nginxgen.Files {
	s.mu.Lock()
	defer s.mu.Unlock()
	needed := s.sources(tables)
	maps.DeleteFunc(s.copies, func(from source, _ *copied) bool { return !needed[from] })
	for from := range needed {
		if s.copies[from] == nil {
			s.copies[from] = newestCopy(s.options.Dir, from)
		}
		s.copies[from].refresh(s.options.Log)
	}
	return s.files()
}

func (s *Store) sources(tables []*migration.Table) map[source]bool {
	found := map[source]bool{}
	for _, file := range s.options.System {
		found[source{cert: file}] = true
	}
	for _, table := range tables {
		if table == nil {
			continue
		}
		for _, service := range table.Services() {
			for _, from := range sourcesOf(service.TLS) {
				found[from] = true
			}
		}
	}
	return found
}

func sourcesOf(tls migration.TLS) []source {
	var all []source
	if tls.CAFile != "" {
		all = append(all, source{cert: tls.CAFile})
	}
	if tls.ClientCertFile != "" {
		all = append(all, source{tls.ClientCertFile, tls.ClientKeyFile})
	}
	return all
}

func (s *Store) files() nginxgen.Files {
	files := nginxgen.Files{Trusted: map[string]string{}, Pairs: map[nginxgen.KeyPair]nginxgen.KeyPair{}}
	for from, c := range s.copies {
		switch {
		case c.current == nil:
		case from.key == "":
			files.Trusted[from.cert] = c.current.cert
		default:
			files.Pairs[nginxgen.KeyPair{Cert: from.cert, Key: from.key}] = nginxgen.KeyPair{Cert: c.current.cert, Key: c.current.key}
		}
	}
	return files
}

// Changed has a value when Need would give other copies than before.
func (s *Store) Changed() <-chan struct{} { return s.changed }

// Run looks at the files until ctx ends.
func (s *Store) Run(ctx context.Context) {
	tick := time.NewTicker(s.options.Interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.look()
		}
	}
}

func (s *Store) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := false
	for _, c := range s.copies {
		changed = c.refresh(s.options.Log) || changed
	}
	if changed {
		s.signal()
	}
}

func (s *Store) signal() {
	select {
	case s.changed <- struct{}{}:
	default: // the signal before was not read yet
	}
}

// Refuse takes back copies that nginx does not accept: the ones before them are
// used again, until the files change. It reports whether there was one to take
// back.
func (s *Store) Refuse(files nginxgen.Files, reason string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	refused := false
	for _, c := range s.copies {
		if c.previous != nil && c.current != nil && files.Has(c.current.cert) {
			c.refuse(reason, s.options.Log)
			refused = true
		}
	}
	return refused
}

// Problem is why the newest content of the files of a service is not in use; "" if
// it is.
func (s *Store) Problem(tls migration.TLS) string {
	return s.problemOf(sourcesOf(tls))
}

// SystemProblem is Problem for the files of the system.
func (s *Store) SystemProblem() string {
	var all []source
	for _, file := range s.options.System {
		all = append(all, source{cert: file})
	}
	return s.problemOf(all)
}

func (s *Store) problemOf(sources []source) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, from := range sources {
		if c := s.copies[from]; c != nil && c.reported {
			return c.problem
		}
	}
	return ""
}

// Prune removes all copies that are neither in use nor named.
func (s *Store) Prune(keep ...nginxgen.Files) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	inUse := func(cert string) bool {
		return slices.ContainsFunc(append(keep, s.files()), func(f nginxgen.Files) bool { return f.Has(cert) })
	}
	return removeCopies(s.options.Dir, inUse)
}

package weights

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/migration-proxy/migration-proxy/migration"
)

const (
	disabledShare = "disabled"
	trippedShare  = "tripped"
	// temporary begins the name of everything unfinished. No service's name
	// begins with a dot.
	temporary = ".tmp-"
	// linger is how long a share stays after its last use: much longer than
	// nginx takes between finding the symlink and asking for the bucket.
	linger = 2 * time.Second
)

// State is what one service's weight says. Disabled beats tripped, as in
// migration.Service.Decide; Share counts only when neither holds.
type State struct {
	Share   migration.Share
	Enabled bool
	Tripped bool
}

// share names the directory below shares/ that says the state.
func (s State) share() string {
	switch {
	case !s.Enabled:
		return disabledShare
	case s.Tripped:
		return trippedShare
	}
	return strconv.Itoa(int(s.Share))
}

// Store is the tree below one directory. One goroutine owns it.
type Store struct {
	dir    string
	disk   disk
	unused map[string]time.Time // share -> when Prune first saw it unused
}

// Open makes the fixed part of the tree below dir, which must exist, and
// clears away what a killed predecessor left unfinished. Weights that are in
// force stay in force.
func Open(dir string) (*Store, error) { return open(dir, disk{}) }

func open(dir string, d disk) (*Store, error) {
	s := &Store{dir: dir, disk: d, unused: map[string]time.Time{}}
	for _, name := range []string{"weights", "shares"} {
		if err := d.mkdir(s.path(name)); err != nil {
			return nil, fmt.Errorf("opening the weights: %w", err)
		}
		if err := s.clear(name); err != nil {
			return nil, fmt.Errorf("clearing unfinished weights: %w", err)
		}
	}
	if err := s.furnish(); err != nil {
		return nil, fmt.Errorf("opening the weights: %w", err)
	}
	return s, nil
}

func (s *Store) path(parts ...string) string {
	return filepath.Join(append([]string{s.dir}, parts...)...)
}

func (s *Store) clear(folder string) error {
	entries, err := os.ReadDir(s.path(folder))
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), temporary) {
			err = errors.Join(err, s.disk.removeAll(s.path(folder, entry.Name())))
		}
	}
	return err
}

// furnish makes what every share refers to.
func (s *Store) furnish() error {
	err := s.disk.mkdir(s.path("shares", "rules"))
	return errors.Join(err,
		s.fill(s.path("shares", "all"), 100),
		s.fill(s.path("shares", "none"), 0),
		s.marked(disabledShare),
		s.marked(trippedShare))
}

func (s *Store) marked(share string) error {
	err := s.disk.mkdir(s.path("shares", share))
	return errors.Join(err, s.disk.touch(s.path("shares", share, share)))
}

// AddRules makes the rule files that a generated config asks for, like
// "header_rule[0]". They are never taken away: a rule file that no config
// asks for costs nothing.
func (s *Store) AddRules(names []string) error {
	for _, name := range names {
		if err := s.disk.touch(s.path("shares", "rules", name)); err != nil {
			return fmt.Errorf("adding rule file %s: %w", name, err)
		}
	}
	return nil
}

// Apply puts a service's state in force, for the next request on. On an error
// the state before it stays in force. Its cost does not depend on the number
// of services.
func (s *Store) Apply(service migration.Name, state State) error {
	share := state.share()
	if err := s.ensure(share, state); err != nil {
		return fmt.Errorf("building share %s of service %s: %w", share, service, err)
	}
	delete(s.unused, share)
	link, target := s.path("weights", string(service)), filepath.Join("..", "shares", share)
	if now, err := os.Readlink(link); err == nil && now == target {
		return nil
	}
	if err := s.swap(target, link); err != nil {
		return fmt.Errorf("setting service %s to %s: %w", service, share, err)
	}
	return nil
}

func (s *Store) swap(target, link string) error {
	unfinished := s.path("weights", temporary+filepath.Base(link))
	if err := s.disk.removeAll(unfinished); err != nil {
		return err
	}
	if err := s.disk.symlink(target, unfinished); err != nil {
		return err
	}
	return s.disk.rename(unfinished, link)
}

// Read tells what is in force for a service: the share is 0 when it is
// disabled or tripped. fs.ErrNotExist when the service has no weight.
func (s *Store) Read(service migration.Name) (State, error) {
	target, err := os.Readlink(s.path("weights", string(service)))
	if err != nil {
		return State{}, fmt.Errorf("reading the weight of service %s: %w", service, err)
	}
	switch share := filepath.Base(target); share {
	case disabledShare:
		return State{}, nil
	case trippedShare:
		return State{Enabled: true, Tripped: true}, nil
	default:
		n, err := strconv.Atoi(share)
		if err != nil {
			return State{}, fmt.Errorf("reading the weight of service %s: %q is no share", service, target)
		}
		return State{Share: migration.Share(n), Enabled: true}, nil
	}
}

// exists tells whether a directory entry is there; an entry that cannot be
// looked at is an error.
func exists(name string) (bool, error) {
	_, err := os.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

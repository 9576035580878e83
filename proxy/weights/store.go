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
	// tempPrefix begins the name of everything unfinished. The name of a
	// service never begins with a dot.
	tempPrefix = ".tmp-"
	// CheckedService has files like a service, and no requests: the agent asks nginx
	// whether it sees them. No service has such a name.
	CheckedService migration.Name = "_checked"
	// CheckedShare is its share.
	CheckedShare = migration.FullShare / 2
	// keepUnused is how long a share stays after its last use: much longer
	// than nginx takes between reading the symlink and looking up the bucket.
	keepUnused = 2 * time.Second
)

// State is the weight of one service. Disabled comes before tripped, as in
// migration.Service.Decide; Share has an effect only without both.
type State struct {
	Share   migration.Share
	Enabled bool
	Tripped bool
}

// shareName is the name of the directory below shares/ for the state.
func (s State) shareName() string {
	switch {
	case !s.Enabled:
		return disabledShare
	case s.Tripped:
		return trippedShare
	}
	return strconv.Itoa(int(s.Share))
}

// Store is the tree below one directory. Only one goroutine uses it.
type Store struct {
	dir         string
	disk        disk
	unusedSince map[string]time.Time // share -> the Prune that first found it unused
}

// Open creates the fixed part of the tree below dir, which must exist, and
// removes what a killed predecessor left unfinished. Weights that are in force
// stay in force.
func Open(dir string) (*Store, error) { return open(dir, disk{}) }

func open(dir string, d disk) (*Store, error) {
	s := &Store{dir: dir, disk: d, unusedSince: map[string]time.Time{}}
	for _, name := range []string{"weights", "shares"} {
		if err := d.mkdir(s.path(name)); err != nil {
			return nil, fmt.Errorf("open the weights: %w", err)
		}
		if err := s.removeUnfinished(name); err != nil {
			return nil, fmt.Errorf("remove unfinished weights: %w", err)
		}
	}
	if err := s.writeFixedShares(); err != nil {
		return nil, fmt.Errorf("open the weights: %w", err)
	}
	return s, nil
}

func (s *Store) path(parts ...string) string {
	return filepath.Join(append([]string{s.dir}, parts...)...)
}

func (s *Store) removeUnfinished(folder string) error {
	entries, err := os.ReadDir(s.path(folder))
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), tempPrefix) {
			err = errors.Join(err, s.disk.removeAll(s.path(folder, entry.Name())))
		}
	}
	return err
}

// writeFixedShares writes everything that the numbered shares refer to, and
// the shares disabled and tripped.
func (s *Store) writeFixedShares() error {
	return errors.Join(
		s.disk.mkdir(s.path("shares", "rules")),
		s.writeBuckets(s.path("shares", "all"), bucketsPerDir),
		s.writeBuckets(s.path("shares", "none"), 0),
		s.writeNamedShare(disabledShare),
		s.writeNamedShare(trippedShare))
}

func (s *Store) writeNamedShare(name string) error {
	err := s.disk.mkdir(s.path("shares", name))
	return errors.Join(err, s.disk.touch(s.path("shares", name, name)))
}

// AddRules creates the rule files that a generated config refers to, such as
// "header_rule[0]". They are never removed: an unused rule file costs nothing.
func (s *Store) AddRules(names []string) error {
	for _, name := range names {
		if err := s.disk.touch(s.path("shares", "rules", name)); err != nil {
			return fmt.Errorf("add rule file %s: %w", name, err)
		}
	}
	return nil
}

// Apply puts a service's state in force, from the next request on. On an error
// the previous state stays in force. The cost of Apply does not depend on the
// number of services.
func (s *Store) Apply(service migration.Name, state State) error {
	share := state.shareName()
	if err := s.ensureShare(share, state); err != nil {
		return fmt.Errorf("write share %s of service %s: %w", share, service, err)
	}
	delete(s.unusedSince, share)
	link, target := s.path("weights", string(service)), filepath.Join("..", "shares", share)
	if err := s.swap(target, link); err != nil {
		return fmt.Errorf("set service %s to share %s: %w", service, share, err)
	}
	return nil
}

func (s *Store) swap(target, link string) error {
	unfinished := s.path("weights", tempPrefix+filepath.Base(link))
	if err := s.disk.removeAll(unfinished); err != nil {
		return err
	}
	if err := s.disk.symlink(target, unfinished); err != nil {
		return err
	}
	return s.disk.rename(unfinished, link)
}

// Read returns the state in force of a service; its share is 0 when the
// service is disabled or tripped. The error is fs.ErrNotExist when the service
// has no weight.
func (s *Store) Read(service migration.Name) (State, error) { return Read(s.dir, service) }

// Read is Store.Read for a directory; any goroutine may call it.
func Read(dir string, service migration.Name) (State, error) {
	target, err := os.Readlink(filepath.Join(dir, "weights", string(service)))
	if err != nil {
		return State{}, fmt.Errorf("read the weight of service %s: %w", service, err)
	}
	switch share := filepath.Base(target); share {
	case disabledShare:
		return State{}, nil
	case trippedShare:
		return State{Enabled: true, Tripped: true}, nil
	default:
		n, err := strconv.Atoi(share)
		if err != nil {
			return State{}, fmt.Errorf("read the weight of service %s: %q is not a share", service, target)
		}
		return State{Share: migration.Share(n), Enabled: true}, nil
	}
}

// Same tells whether two states send the same requests to new.
func (s State) Same(other State) bool { return s.shareName() == other.shareName() }

// exists reports whether a directory entry exists. An entry that cannot be read
// is an error.
func exists(name string) (bool, error) {
	_, err := os.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

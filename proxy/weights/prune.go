package weights

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/migration-proxy/migration-proxy/migration"
)

// Prune takes away the weights of services that keep refuses (call it only
// after the reload that dropped them) and the shares that no service has used
// for two seconds, counted from the Prune that first saw them unused. Its
// cost grows with the number of services, so it is for a timer.
func (s *Store) Prune(keep func(migration.Name) bool, now time.Time) error {
	used, err := s.pruneServices(keep)
	if err == nil {
		err = s.pruneShares(used, now)
	}
	if err != nil {
		return fmt.Errorf("pruning weights: %w", err)
	}
	return nil
}

// pruneServices gives the shares that the remaining services use.
func (s *Store) pruneServices(keep func(migration.Name) bool) (map[string]bool, error) {
	entries, err := os.ReadDir(s.path("weights"))
	used := map[string]bool{}
	for _, entry := range entries {
		link := s.path("weights", entry.Name())
		if !strings.HasPrefix(entry.Name(), temporary) && keep(migration.Name(entry.Name())) {
			target, readErr := os.Readlink(link)
			used[filepath.Base(target)] = true
			err = errors.Join(err, readErr)
			continue
		}
		err = errors.Join(err, s.disk.removeAll(link))
	}
	return used, err
}

func (s *Store) pruneShares(used map[string]bool, now time.Time) error {
	entries, err := os.ReadDir(s.path("shares"))
	for _, entry := range entries {
		share := entry.Name()
		if _, notNumber := strconv.Atoi(share); notNumber != nil {
			continue
		}
		if s.idle(share, used[share], now) >= linger {
			err = errors.Join(err, s.drop(share))
		}
	}
	return err
}

// idle tells how long a share has been seen unused.
func (s *Store) idle(share string, used bool, now time.Time) time.Duration {
	if used {
		delete(s.unused, share)
		return 0
	}
	since, seen := s.unused[share]
	if !seen {
		s.unused[share], since = now, now
	}
	return now.Sub(since)
}

// drop renames before it deletes, so that a share is never seen half gone.
func (s *Store) drop(share string) error {
	unfinished := s.path("shares", temporary+share)
	if err := s.disk.removeAll(unfinished); err != nil {
		return err
	}
	if err := s.disk.rename(s.path("shares", share), unfinished); err != nil {
		return err
	}
	delete(s.unused, share)
	return s.disk.removeAll(unfinished)
}

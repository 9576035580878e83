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

// Prune removes the weights of services for which keep is false (call it only
// after the reload that removed them from nginx), and the shares that no
// service has used for two seconds, counted from the Prune that first found
// them unused. It reads the whole tree, so call it from a timer.
func (s *Store) Prune(keep func(migration.Name) bool, now time.Time) error {
	used, err := s.pruneServices(keep)
	if err == nil {
		err = s.pruneShares(used, now)
	}
	if err != nil {
		return fmt.Errorf("prune weights: %w", err)
	}
	return nil
}

// pruneServices returns the shares that the remaining services use.
func (s *Store) pruneServices(keep func(migration.Name) bool) (map[string]bool, error) {
	entries, err := os.ReadDir(s.path("weights"))
	used := map[string]bool{}
	for _, entry := range entries {
		link, name := s.path("weights", entry.Name()), migration.Name(entry.Name())
		if !strings.HasPrefix(entry.Name(), tempPrefix) && (name == CheckedService || keep(name)) {
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
		if s.idleTime(share, used[share], now) >= keepUnused {
			err = errors.Join(err, s.removeShare(share))
		}
	}
	return err
}

// idleTime is how long a share has been unused.
func (s *Store) idleTime(share string, used bool, now time.Time) time.Duration {
	if used {
		delete(s.unusedSince, share)
		return 0
	}
	since, known := s.unusedSince[share]
	if !known {
		s.unusedSince[share], since = now, now
	}
	return now.Sub(since)
}

// removeShare renames the share before it deletes it, so that nginx never sees
// an incomplete share.
func (s *Store) removeShare(share string) error {
	unfinished := s.path("shares", tempPrefix+share)
	if err := s.disk.removeAll(unfinished); err != nil {
		return err
	}
	if err := s.disk.rename(s.path("shares", share), unfinished); err != nil {
		return err
	}
	delete(s.unusedSince, share)
	return s.disk.removeAll(unfinished)
}

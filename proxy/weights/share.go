package weights

import (
	"fmt"
	"path/filepath"
	"strconv"

	"github.com/migration-proxy/migration-proxy/migration"
)

// ensure builds shares/<share> unless it is there. It is built under a
// temporary name: a share that can be seen is complete.
func (s *Store) ensure(share string, state State) error {
	if there, err := exists(s.path("shares", share)); there || err != nil {
		return err
	}
	if state.Share < 0 || state.Share > migration.FullShare {
		return fmt.Errorf("share %d is not within 0..%d", state.Share, migration.FullShare)
	}
	unfinished := s.path("shares", temporary+share)
	if err := s.disk.removeAll(unfinished); err != nil {
		return err
	}
	if err := s.build(unfinished, migration.Bucket(state.Share)); err != nil {
		return err
	}
	return s.disk.rename(unfinished, s.path("shares", share))
}

// build makes one share in dir: the buckets below end, and the rules. For 1234
// that is twelve symlinks to the full hundred, one directory with 34 files, and
// the rest to the hundred that holds no file.
func (s *Store) build(dir string, end migration.Bucket) error {
	safe := filepath.Join(dir, "safe")
	bucket := filepath.Join(safe, "bucket")
	for _, folder := range []string{dir, safe, bucket} {
		if err := s.disk.mkdir(folder); err != nil {
			return err
		}
	}
	if err := s.disk.symlink("../../rules", filepath.Join(safe, "new")); err != nil {
		return err
	}
	for high := range 100 {
		if err := s.hundred(filepath.Join(bucket, strconv.Itoa(high)), int(end)-100*high); err != nil {
			return err
		}
	}
	return nil
}

// hundred makes the entry for a hundred buckets of which the first n are new:
// files, where the others are directories, so that old's buckets are found
// too. On tmpfs a name that does not exist costs twice the time of one that
// does, because it is not remembered.
func (s *Store) hundred(name string, n int) error {
	if n <= 0 {
		return s.disk.symlink("../../../none", name)
	}
	if n >= 100 {
		return s.disk.symlink("../../../all", name)
	}
	return s.fill(name, n)
}

func (s *Store) fill(dir string, n int) error {
	if err := s.disk.mkdir(dir); err != nil {
		return err
	}
	for low := range 100 {
		make := s.disk.touch
		if low >= n {
			make = s.disk.mkdir
		}
		if err := make(filepath.Join(dir, strconv.Itoa(low))); err != nil {
			return err
		}
	}
	return nil
}

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
// that is twelve symlinks to the full hundred, and one directory of 34 files.
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
	for high := range end.High() {
		if err := s.disk.symlink("../../../all", filepath.Join(bucket, strconv.Itoa(high))); err != nil {
			return err
		}
	}
	return s.partial(filepath.Join(bucket, strconv.Itoa(end.High())), end.Low())
}

func (s *Store) partial(dir string, end int) error {
	if end == 0 {
		return nil
	}
	if err := s.disk.mkdir(dir); err != nil {
		return err
	}
	for low := range end {
		if err := s.disk.touch(filepath.Join(dir, strconv.Itoa(low))); err != nil {
			return err
		}
	}
	return nil
}

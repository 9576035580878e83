package weights

import (
	"fmt"
	"path/filepath"
	"strconv"

	"github.com/migration-proxy/migration-proxy/migration"
)

// The 10,000 buckets are in 100 directories of 100 buckets each.
const (
	bucketDirs    = 100
	bucketsPerDir = 100
)

// ensureShare creates shares/<name> unless it exists. It is built under a
// temporary name, so that a share that nginx can see is complete.
func (s *Store) ensureShare(name string, state State) error {
	if there, err := exists(s.path("shares", name)); there || err != nil {
		return err
	}
	if state.Share < 0 || state.Share > migration.FullShare {
		return fmt.Errorf("share %d is not within 0..%d", state.Share, migration.FullShare)
	}
	unfinished := s.path("shares", tempPrefix+name)
	if err := s.disk.removeAll(unfinished); err != nil {
		return err
	}
	if err := s.writeShare(unfinished, int(state.Share)); err != nil {
		return err
	}
	return s.disk.rename(unfinished, s.path("shares", name))
}

// writeShare writes a share in which the first newBuckets buckets, and the
// rules, go to new. For 1234 these are 12 symlinks to all, one directory with
// 34 files, and 87 symlinks to none.
func (s *Store) writeShare(dir string, newBuckets int) error {
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
	for high := range bucketDirs {
		name := filepath.Join(bucket, strconv.Itoa(high))
		if err := s.writeBucketDir(name, newBuckets-bucketsPerDir*high); err != nil {
			return err
		}
	}
	return nil
}

// writeBucketDir writes the entry for 100 buckets of which the first
// newBuckets go to new.
func (s *Store) writeBucketDir(name string, newBuckets int) error {
	if newBuckets <= 0 {
		return s.disk.symlink("../../../none", name)
	}
	if newBuckets >= bucketsPerDir {
		return s.disk.symlink("../../../all", name)
	}
	return s.writeBuckets(name, newBuckets)
}

// writeBuckets writes a file for each bucket that goes to new, and a directory
// for each other: on tmpfs, looking up a missing name takes twice as long as
// an existing one, because the kernel does not cache it.
func (s *Store) writeBuckets(dir string, newBuckets int) error {
	if err := s.disk.mkdir(dir); err != nil {
		return err
	}
	for low := range bucketsPerDir {
		create := s.disk.touch
		if low >= newBuckets {
			create = s.disk.mkdir
		}
		if err := create(filepath.Join(dir, strconv.Itoa(low))); err != nil {
			return err
		}
	}
	return nil
}

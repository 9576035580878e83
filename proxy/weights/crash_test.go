package weights

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/migration"
)

var errKilled = errors.New("killed")

// killedAfter runs do with a Store that is killed before its n-th change of the
// file system. It returns false when do finished.
func killedAfter(t *testing.T, dir string, n int, do func(*Store)) (killed bool) {
	t.Helper()
	defer func() {
		if cause := recover(); cause != nil {
			require.Equal(t, errKilled, cause)
			killed = true
		}
	}()
	store, err := open(dir, disk{beforeChange: func() {
		if n--; n < 0 {
			panic(errKilled)
		}
	}})
	require.NoError(t, err)
	do(store)
	return false
}

// requireShare checks that all buckets of the service have the share before, or
// all have the share after.
func requireShare(t *testing.T, dir string, before, after migration.Share) {
	t.Helper()
	share := before
	if isNew(dir, "api", bucketToken(migration.Bucket(before))) {
		share = after
	}
	for b := range migration.Bucket(300) {
		require.Equal(t, int(b) < int(share), isNew(dir, "api", bucketToken(b)), "bucket %d", b)
	}
}

func TestAKilledStoreLeavesTheShareBeforeOrAfter(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store, err := Open(dir)
	require.NoError(t, err)
	share := migration.Share(123)
	require.NoError(t, store.Apply("api", State{Share: share, Enabled: true}))

	killed := true
	for n := 0; killed; n += 1 + n/16 { // every early step, then fewer and fewer
		next := share + 111
		killed = killedAfter(t, dir, n, func(s *Store) {
			require.NoError(t, s.Apply("api", State{Share: next, Enabled: true}))
			keepAPI := func(name migration.Name) bool { return name == "api" }
			require.NoError(t, s.Prune(keepAPI, time.Unix(0, 0)))
			require.NoError(t, s.Prune(keepAPI, time.Unix(10, 0)))
		})
		requireShare(t, dir, share, next)
		require.NoError(t, reopened(t, dir).Apply("api", State{Share: share, Enabled: true}))
		requireShare(t, dir, share, next)
	}
}

func reopened(t *testing.T, dir string) *Store {
	t.Helper()
	store, err := Open(dir)
	require.NoError(t, err)
	require.Empty(t, unfinished(t, dir))
	return store
}

func unfinished(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	for _, folder := range []string{"weights", "shares"} {
		found, err := filepath.Glob(filepath.Join(dir, folder, tempPrefix+"*"))
		require.NoError(t, err)
		all = append(all, found...)
	}
	return all
}

package weights

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/migration-proxy/migration-proxy/migration"
)

// isNew makes the lookup that nginx makes for a request.
func isNew(dir, service, token string) bool {
	info, err := os.Stat(filepath.Join(dir, "weights", service, "safe", token))
	return err == nil && info.Mode().IsRegular()
}

func bucketToken(b migration.Bucket) string {
	return fmt.Sprintf("bucket/%d/%d", b.High(), b.Low())
}

func newStore(t testing.TB) (*Store, string) {
	t.Helper()
	dir := t.TempDir()
	store, err := Open(dir)
	require.NoError(t, err)
	require.NoError(t, store.AddRules([]string{"header_rule[0]", "direct"}))
	return store, dir
}

// decided is the decision of Decide for a request in bucket b.
func decided(state State, b migration.Bucket, dice map[migration.Bucket]string) bool {
	service := migration.Service{Enabled: state.Enabled, Strategy: migration.StrategyWeight, Share: state.Share}
	return service.Decide(migration.Request{Dice: dice[b], Tripped: state.Tripped}).Side == migration.New
}

// oneDicePerBucket finds a dice text for most buckets.
func oneDicePerBucket() map[migration.Bucket]string {
	dice := map[migration.Bucket]string{}
	for i := range 60000 {
		text := fmt.Sprint(i)
		dice[migration.BucketOf(text)] = text
	}
	return dice
}

func TestTheTreeAgreesWithDecide(t *testing.T) {
	t.Parallel()
	store, dir := newStore(t)
	dice := oneDicePerBucket()
	buckets := rapid.SampledFrom(keys(dice))
	rapid.Check(t, func(t *rapid.T) {
		state := State{
			Share:   migration.Share(rapid.IntRange(0, 10000).Draw(t, "share")),
			Enabled: rapid.IntRange(0, 9).Draw(t, "enabled") > 0,
			Tripped: rapid.IntRange(0, 9).Draw(t, "tripped") == 0,
		}
		require.NoError(t, store.Apply("api", state))
		for range 50 {
			b := buckets.Draw(t, "bucket")
			require.Equal(t, decided(state, b, dice), isNew(dir, "api", bucketToken(b)), "bucket %d", b)
		}
		rules := state.Enabled && !state.Tripped
		require.Equal(t, rules, isNew(dir, "api", "new/header_rule[0]"))
		require.False(t, isNew(dir, "api", "old/header_rule[0]"))
		read, err := store.Read("api")
		require.NoError(t, err)
		require.Equal(t, state.shareName(), read.shareName())
	})
}

func keys(dice map[migration.Bucket]string) []migration.Bucket {
	var all []migration.Bucket
	for b := range migration.Bucket(10000) {
		if _, ok := dice[b]; ok {
			all = append(all, b)
		}
	}
	return all
}

func TestTheFirstOldBucketOfEveryKindOfShare(t *testing.T) {
	t.Parallel()
	store, dir := newStore(t)
	for _, share := range []migration.Share{0, 1, 99, 100, 101, 1234, 9900, 9999, 10000} {
		require.NoError(t, store.Apply("api", State{Share: share, Enabled: true}))
		for b := range migration.Bucket(10000) {
			require.Equal(t, int(b) < int(share), isNew(dir, "api", bucketToken(b)), "share %d, bucket %d", share, b)
		}
		require.True(t, isNew(dir, "api", "new/direct"))
	}
}

func TestApplyRejectsAShareOutOfRange(t *testing.T) {
	t.Parallel()
	store, _ := newStore(t)
	require.ErrorContains(t, store.Apply("api", State{Share: 10001, Enabled: true}), "within 0..10000")
	_, err := store.Read("api")
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestNginxCanReadTheTreeWithAnyUmask(t *testing.T) { // not parallel: the umask is the process's
	old := syscall.Umask(0o077)
	store, dir := newStore(t)
	require.NoError(t, store.Apply("api", State{Share: 150, Enabled: true}))
	syscall.Umask(old)
	for _, folder := range []string{"weights", "shares", "shares/all", "shares/rules", "shares/150/safe/bucket/1", "shares/tripped"} {
		info, err := os.Stat(filepath.Join(dir, folder))
		require.NoError(t, err)
		require.Equal(t, fs.FileMode(0o755), info.Mode().Perm(), folder)
	}
}

func TestPruneKeepsUsedShares(t *testing.T) {
	t.Parallel()
	store, dir := newStore(t)
	start := time.Unix(0, 0)
	onlyAPI := func(name migration.Name) bool { return name == "api" }
	require.NoError(t, store.Apply("api", State{Share: 100, Enabled: true}))
	require.NoError(t, store.Apply("gone", State{Share: 300, Enabled: true}))
	require.NoError(t, store.Apply("api", State{Share: 200, Enabled: true}))

	require.NoError(t, store.Prune(onlyAPI, start))
	require.DirExists(t, filepath.Join(dir, "shares", "100"), "not yet: nginx may be about to read it")
	require.NoFileExists(t, filepath.Join(dir, "weights", "gone"))

	require.NoError(t, store.Apply("api", State{Share: 100, Enabled: true}))
	require.NoError(t, store.Apply("api", State{Share: 200, Enabled: true}))
	require.NoError(t, store.Prune(onlyAPI, start.Add(keepUnused)))
	require.DirExists(t, filepath.Join(dir, "shares", "100"), "it was used again in between")
	require.NoDirExists(t, filepath.Join(dir, "shares", "300"))

	require.NoError(t, store.Prune(onlyAPI, start.Add(2*keepUnused)))
	require.NoDirExists(t, filepath.Join(dir, "shares", "100"))
	require.True(t, isNew(dir, "api", "bucket/1/99"))
	require.DirExists(t, filepath.Join(dir, "shares", "rules"))
}

// TestWhatAFailureLeftDoesNotBlock: after a failed rename, for example on a full
// disk, the temporary names exist.
func TestWhatAFailureLeftDoesNotBlock(t *testing.T) {
	t.Parallel()
	store, dir := newStore(t)
	require.NoError(t, os.Symlink("../shares/none", filepath.Join(dir, "weights", tempPrefix+"api")))
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "shares", tempPrefix+"100", "safe"), 0o755))
	require.NoError(t, store.Apply("api", State{Share: 100, Enabled: true}))
	require.True(t, isNew(dir, "api", "bucket/0/99"))

	require.NoError(t, store.Apply("api", State{Share: 200, Enabled: true}))
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "shares", tempPrefix+"100", "safe"), 0o755))
	keepAll := func(migration.Name) bool { return true }
	require.NoError(t, store.Prune(keepAll, time.Unix(0, 0)))
	require.NoError(t, store.Prune(keepAll, time.Unix(10, 0)))
	require.NoDirExists(t, filepath.Join(dir, "shares", "100"))
}

// BenchmarkApply must take the same time for any number of services.
func BenchmarkApply(b *testing.B) {
	for _, services := range []int{1, 5000} {
		b.Run(fmt.Sprint(services), func(b *testing.B) {
			store, _ := newStore(b)
			for i := range services {
				require.NoError(b, store.Apply(migration.Name(fmt.Sprint(i)), State{Share: 1, Enabled: true}))
			}
			require.NoError(b, store.Apply("0", State{Share: 2, Enabled: true}))
			for i := 0; b.Loop(); i++ {
				require.NoError(b, store.Apply("0", State{Share: migration.Share(1 + i%2), Enabled: true}))
			}
		})
	}
}

package config_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/stretchr/testify/require"
)

// emission is one call of emit.
type emission struct {
	text string
	err  error
}

// watchFile runs a File without its poll until the test ends, and gives the
// emissions.
func watchFile(t *testing.T, path string) <-chan emission {
	t.Helper()
	return watch(t, config.NewFile(path).EventsOnly())
}

func watch(t *testing.T, file *config.File) <-chan emission {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	emitted, done := make(chan emission, 100), make(chan error, 1)
	go func() {
		done <- file.Run(ctx, func(text []byte, err error) { emitted <- emission{string(text), err} })
	}()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	return emitted
}

// requireText waits until the text is emitted.
func requireText(t *testing.T, emitted <-chan emission, want string) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		select {
		case got := <-emitted:
			// During an edit in place the file is empty for a moment.
			if got.err == nil && got.text == want {
				return
			}
			require.True(t, got.err != nil || strings.HasPrefix(want, got.text), "unexpected %q", got.text)
		case <-deadline:
			require.Fail(t, "not emitted in time", want)
		}
	}
}

func writeText(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

func TestFileEditedInPlace(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "migration.yaml")
	writeText(t, path, "one")
	emitted := watchFile(t, path)
	requireText(t, emitted, "one")
	writeText(t, path, "two")
	requireText(t, emitted, "two")
}

func TestFileReplacedByRename(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "migration.yaml")
	writeText(t, path, "one")
	emitted := watchFile(t, path)
	requireText(t, emitted, "one")
	for _, text := range []string{"two", "three", "four"} {
		writeText(t, path+".tmp", text)
		require.NoError(t, os.Rename(path+".tmp", path))
		requireText(t, emitted, text)
	}
}

// TestFileOfConfigMapMount does what the kubelet's AtomicWriter does:
// migration.yaml -> ..data/migration.yaml and ..data -> ..<time>. An update renames
// a new link over ..data and removes the old directory.
func TestFileOfConfigMapMount(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	publish := func(version, text string) {
		require.NoError(t, os.Mkdir(filepath.Join(dir, version), 0o700))
		writeText(t, filepath.Join(dir, version, "migration.yaml"), text)
		require.NoError(t, os.Symlink(version, filepath.Join(dir, "..data_tmp")))
		require.NoError(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	}
	publish("..1", "one")
	require.NoError(t, os.Symlink("..data/migration.yaml", filepath.Join(dir, "migration.yaml")))
	emitted := watchFile(t, filepath.Join(dir, "migration.yaml"))
	requireText(t, emitted, "one")
	publish("..2", "two")
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "..1")))
	requireText(t, emitted, "two")
	publish("..3", "three")
	requireText(t, emitted, "three")
	writeText(t, filepath.Join(dir, "..3", "migration.yaml"), "four") // a write in the target of the link
	requireText(t, emitted, "four")
}

func TestFileBehindLinkedDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, version := range []string{"a", "b"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, version), 0o700))
		writeText(t, filepath.Join(dir, version, "c.yaml"), version)
	}
	current := filepath.Join(dir, "current")
	require.NoError(t, os.Symlink(filepath.Join(dir, "a"), current))
	emitted := watchFile(t, filepath.Join(current, "c.yaml"))
	requireText(t, emitted, "a")
	require.NoError(t, os.Symlink(filepath.Join(dir, "b"), current+".tmp"))
	require.NoError(t, os.Rename(current+".tmp", current))
	requireText(t, emitted, "b")
	writeText(t, filepath.Join(dir, "b", "c.yaml"), "c") // in the target of an absolute link
	requireText(t, emitted, "c")
}

func TestFileIsCreatedAndDeleted(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "migration.yaml")
	emitted := watchFile(t, path)
	require.ErrorIs(t, (<-emitted).err, os.ErrNotExist)
	writeText(t, path, "one")
	requireText(t, emitted, "one")
	require.NoError(t, os.Remove(path))
	require.ErrorIs(t, (<-emitted).err, os.ErrNotExist)
	writeText(t, path, "one") // the same text is emitted again after an error
	requireText(t, emitted, "one")
}

func TestFileInMissingDirectoryIsPolled(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "later")
	emitted := watch(t, config.NewFile(filepath.Join(dir, "migration.yaml")))
	require.ErrorIs(t, (<-emitted).err, os.ErrNotExist)
	require.NoError(t, os.Mkdir(dir, 0o700))
	writeText(t, filepath.Join(dir, "migration.yaml"), "one")
	requireText(t, emitted, "one")
}

func TestFileWithoutInotifyIsPolled(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "migration.yaml")
	writeText(t, path, "one")
	emitted := watch(t, config.NewFile(path).WithoutInotify())
	requireText(t, emitted, "one")
	writeText(t, path, "two")
	requireText(t, emitted, "two")
}

func TestReread(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "migration.yaml")
	writeText(t, path, "one")
	file := config.NewFile(path).EventsOnly()
	emitted := watch(t, file)
	requireText(t, emitted, "one")
	file.Reread()
	requireText(t, emitted, "one")
}

func TestFileIsADirectory(t *testing.T) {
	t.Parallel()
	require.ErrorContains(t, (<-watchFile(t, t.TempDir())).err, "is not a regular file")
}

// TestFileEmitsNothingTwice causes events without a change of the text, and then
// changes the text: the next emission is the new text.
func TestFileEmitsNothingTwice(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "migration.yaml")
	writeText(t, path, "one")
	emitted := watchFile(t, path)
	requireText(t, emitted, "one")
	writeText(t, filepath.Join(dir, "other.yaml"), "x")
	writeText(t, path+".tmp", "one")
	require.NoError(t, os.Rename(path+".tmp", path))
	writeText(t, path+".tmp", "two")
	require.NoError(t, os.Rename(path+".tmp", path))
	require.Equal(t, emission{text: "two"}, <-emitted)
}

// TestFileIsReadSoon: the median of 21 changes takes less than 50 ms.
func TestFileIsReadSoon(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "migration.yaml")
	writeText(t, path, "0")
	emitted := watchFile(t, path)
	requireText(t, emitted, "0")
	var took []time.Duration
	for i := range 21 {
		start, text := time.Now(), strconv.Itoa(i+1)
		writeText(t, path+".tmp", text)
		require.NoError(t, os.Rename(path+".tmp", path))
		requireText(t, emitted, text)
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	t.Log("median", took[10], "longest", took[20])
	require.Less(t, took[10], 50*time.Millisecond)
}

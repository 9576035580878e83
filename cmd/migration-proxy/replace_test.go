package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReplaceFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "c.yaml")
	require.NoError(t, os.WriteFile(path, []byte("old"), 0o600))
	require.NoError(t, os.Chmod(path, 0o664))
	require.NoError(t, replaceFile(path, []byte("old"), []byte("new")))
	requireOnly(t, path, "new")
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o664), info.Mode().Perm())
}

func TestReplaceFileRefusesWhatSomebodyElseChanged(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "c.yaml")
	require.NoError(t, os.WriteFile(path, []byte("theirs"), 0o600))
	require.ErrorIs(t, replaceFile(path, []byte("old"), []byte("ours")), errChanged)
	requireOnly(t, path, "theirs")
}

func TestReplaceFileKeepsTheOwner(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can make a file somebody else's")
	}
	path := filepath.Join(t.TempDir(), "c.yaml")
	require.NoError(t, os.WriteFile(path, []byte("old"), 0o600))
	require.NoError(t, os.Chown(path, 12345, 54321))
	require.NoError(t, replaceFile(path, []byte("old"), []byte("new")))
	info, err := os.Stat(path)
	require.NoError(t, err)
	owner := info.Sys().(*syscall.Stat_t)
	require.Equal(t, []uint32{12345, 54321}, []uint32{owner.Uid, owner.Gid})
}

func TestReplaceFileFollowsSymlinks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target, link := filepath.Join(dir, "there", "c.yaml"), filepath.Join(dir, "c.yaml")
	require.NoError(t, os.Mkdir(filepath.Dir(target), 0o700))
	require.NoError(t, os.WriteFile(target, []byte("old"), 0o600))
	require.NoError(t, os.Symlink("there/c.yaml", link))
	require.NoError(t, replaceFile(link, []byte("old"), []byte("new")))
	requireOnly(t, target, "new")
	points, err := os.Readlink(link)
	require.NoError(t, err)
	require.Equal(t, "there/c.yaml", points)
}

// requireOnly wants the content, and no draft beside it.
func requireOnly(t *testing.T, path, content string) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, content, string(text))
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1)
}

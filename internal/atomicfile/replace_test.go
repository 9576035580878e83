package atomicfile

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReplace(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "c.yaml")
	require.NoError(t, os.WriteFile(path, []byte("old"), 0o600))
	require.NoError(t, os.Chmod(path, 0o664))
	require.NoError(t, Replace(path, []byte("old"), []byte("new")))
	requireOnlyFile(t, path, "new")
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o664), info.Mode().Perm())
}

func TestReplaceRefusesAChangedFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "c.yaml")
	require.NoError(t, os.WriteFile(path, []byte("theirs"), 0o600))
	require.ErrorIs(t, Replace(path, []byte("old"), []byte("ours")), ErrChanged)
	requireOnlyFile(t, path, "theirs")
}

func TestReplaceKeepsTheOwner(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can change the owner of a file")
	}
	path := filepath.Join(t.TempDir(), "c.yaml")
	require.NoError(t, os.WriteFile(path, []byte("old"), 0o600))
	require.NoError(t, os.Chown(path, 12345, 54321))
	require.NoError(t, Replace(path, []byte("old"), []byte("new")))
	info, err := os.Stat(path)
	require.NoError(t, err)
	owner := info.Sys().(*syscall.Stat_t)
	require.Equal(t, []uint32{12345, 54321}, []uint32{owner.Uid, owner.Gid})
}

func TestReplaceFollowsSymlinks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target, link := filepath.Join(dir, "there", "c.yaml"), filepath.Join(dir, "c.yaml")
	require.NoError(t, os.Mkdir(filepath.Dir(target), 0o700))
	require.NoError(t, os.WriteFile(target, []byte("old"), 0o600))
	require.NoError(t, os.Symlink("there/c.yaml", link))
	require.NoError(t, Replace(link, []byte("old"), []byte("new")))
	requireOnlyFile(t, target, "new")
	linkTarget, err := os.Readlink(link)
	require.NoError(t, err)
	require.Equal(t, "there/c.yaml", linkTarget)
}

// requireOnlyFile fails unless the file has the content and its directory has no
// other file.
func requireOnlyFile(t *testing.T, path, content string) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, content, string(text))
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1)
}

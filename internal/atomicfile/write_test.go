package atomicfile

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWrite(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.json")
	require.NoError(t, Write(path, []byte("first"), 0o600))
	requireOnlyFile(t, path, "first")
	require.NoError(t, Write(path, []byte("second"), 0o600))
	requireOnlyFile(t, path, "second")
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestWriteLeavesNoDraftWhenItFails(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.json")
	require.NoError(t, os.MkdirAll(filepath.Join(path, "not empty"), 0o700))
	require.Error(t, Write(path, []byte("text"), 0o600), "a directory is in the way")
	require.NoFileExists(t, path+".tmp")
	require.Error(t, Write(filepath.Join(path, "missing", "state.json"), nil, 0o600))
}

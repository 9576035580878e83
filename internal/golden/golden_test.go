package golden

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCheckWithoutUpdate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "want.txt")
	require.ErrorContains(t, check(path, []byte("a\n"), false), "does not exist: run make golden")
	require.NoFileExists(t, path)

	require.NoError(t, os.WriteFile(path, []byte("same\nold\n"), 0o600))
	require.NoError(t, check(path, []byte("same\nold\n"), false))
	err := check(path, []byte("same\nnew\n"), false)
	require.ErrorContains(t, err, "-old\n+new\n")
	require.ErrorContains(t, err, path)
	require.ErrorContains(t, check(path, []byte("same\nold"), false), "+old", "a lost last newline is a difference")
}

func TestUpdateWritesAndCreatesFolders(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "case", "want", "nginx.conf")
	require.NoError(t, check(path, []byte("first\n"), true))
	require.NoError(t, check(path, []byte("second\n"), true))
	require.NoError(t, check(path, []byte("second\n"), false))
}

type recorder struct{ fatal string }

func (r *recorder) Helper() {}

func (r *recorder) Fatalf(format string, _ ...any) { r.fatal = format }

func TestCheckStopsTheTest(t *testing.T) {
	t.Parallel()
	if Updating() {
		t.Skip("with -update nothing differs")
	}
	path := filepath.Join(t.TempDir(), "want.txt")
	require.NoError(t, os.WriteFile(path, []byte("old\n"), 0o600))
	stopped := &recorder{}
	Check(stopped, path, []byte("new\n"))
	require.NotEmpty(t, stopped.fatal)
	quiet := &recorder{}
	Check(quiet, path, []byte("old\n"))
	require.Empty(t, quiet.fatal)
}

package privatedir

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// stranger is another user, who runs shell commands in the tests.
const stranger = 12345

func asStranger(t *testing.T, script string) *exec.Cmd {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can play another user")
	}
	cmd := exec.Command("sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: stranger, Gid: stranger}}
	cmd.Dir = "/"
	return cmd
}

func mustRun(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	output, err := cmd.CombinedOutput()
	require.NoError(t, err, string(output))
}

// public is a directory like /tmp.
func public(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "public")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o777|os.ModeSticky))
	return dir
}

func open(t *testing.T, path string) error {
	t.Helper()
	root, err := Open(path, 0o700)
	if err == nil {
		require.NoError(t, root.Close())
	}
	return err
}

func modeOf(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	require.NoError(t, err)
	return info.Mode()
}

func TestOpenMakesAPrivateDirectory(t *testing.T) {
	t.Parallel()
	path := filepath.Join(public(t), "above", "run")
	require.NoError(t, open(t, path))
	require.Equal(t, os.ModeDir|0o700, modeOf(t, path))
	require.NoError(t, open(t, path), "again")
	require.NoError(t, os.Chmod(path, 0o755))
	require.NoError(t, open(t, path))
	require.Equal(t, os.ModeDir|0o755, modeOf(t, path), "others may go on reading")
}

func TestOpenTakesTheRightToWriteAway(t *testing.T) {
	t.Parallel()
	path := filepath.Join(public(t), "run")
	require.NoError(t, os.Mkdir(path, 0o700))
	require.NoError(t, os.Chmod(path, 0o777))
	require.NoError(t, open(t, path))
	require.Equal(t, os.ModeDir|0o755, modeOf(t, path))

	require.NoError(t, os.Chmod(path, 0o777))
	mustRun(t, asStranger(t, "mkdir "+path+"/conf"))
	require.ErrorContains(t, open(t, path), path+"/conf belongs to user 12345; remove it")
}

func TestOpenFollowsOwnSymlinks(t *testing.T) {
	t.Parallel()
	dir := public(t)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "there"), 0o700))
	require.NoError(t, os.Symlink("there", filepath.Join(dir, "link")))
	require.NoError(t, open(t, filepath.Join(dir, "link", "run")))
	require.DirExists(t, filepath.Join(dir, "there", "run"))
	require.NoError(t, os.Symlink("round", filepath.Join(dir, "round")))
	require.ErrorContains(t, open(t, filepath.Join(dir, "round", "run")), "too many symlinks")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	require.ErrorContains(t, open(t, filepath.Join(dir, "file")), "is no directory")
}

func TestOpenRefusesWhatOthersCanReplace(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ script, below, says string }{
		"a directory of theirs":            {script: "mkdir -m 777 run", says: "belongs to user 12345; remove it"},
		"a symlink of theirs":              {script: "ln -s / run", says: "is a symlink of user 12345"},
		"a directory of theirs above":      {script: "mkdir -m 777 their", below: "their", says: "can replace what is below it"},
		"a symlink of theirs above":        {script: "ln -s / their", below: "their", says: "is a symlink of user 12345"},
		"a file of theirs in the way":      {script: "touch run", says: "is no directory"},
		"a symlink to nothing":             {script: "ln -s nothing run", says: "is a symlink of user 12345"},
		"a symlink to a directory of ours": {script: "ln -s " + t.TempDir() + " run", says: "is a symlink of user 12345"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := public(t)
			mustRun(t, asStranger(t, "cd "+dir+" && "+c.script))
			require.ErrorContains(t, open(t, filepath.Join(dir, c.below, "run")), c.says)
		})
	}
	dir := public(t)
	require.NoError(t, os.Chmod(dir, 0o777))
	require.ErrorContains(t, open(t, filepath.Join(dir, "run")), "other users can replace what is below it")
}

// TestOpenAgainstARace: while another user makes and removes everything under the name,
// each directory that Open gives is ours, and stays where it is. The attack lasts until Open
// has won and lost ten times each: in how many rounds it does is up to the machine's scheduler.
func TestOpenAgainstARace(t *testing.T) {
	t.Parallel()
	dir := public(t)
	path := filepath.Join(dir, "run")
	attack := asStranger(t, fmt.Sprintf(`cd %s && while :; do
		mkdir -m 777 run; touch run/current; rm -rf run; ln -s /etc run; rm -f run; done 2>/dev/null`, dir))
	require.NoError(t, attack.Start())
	t.Cleanup(func() {
		_ = attack.Process.Kill()
		_ = attack.Wait()
	})
	deadline := time.Now().Add(2 * time.Minute)
	for opened, refused := 0, 0; opened < 10 || refused < 10; {
		require.True(t, time.Now().Before(deadline), "in 2 minutes Open won only %d times and lost only %d times", opened, refused)
		root, err := Open(path, 0o700)
		if err != nil {
			refused++
			continue
		}
		opened++
		info, statErr := root.Stat(".")
		named, lstatErr := os.Lstat(path)
		require.NoError(t, statErr)
		require.NoError(t, lstatErr, "others removed it")
		require.True(t, os.SameFile(info, named))
		require.Zero(t, ownerOf(info))
		require.Equal(t, os.ModeDir|0o700, info.Mode())
		require.NoError(t, root.Close())
		require.NoError(t, os.Remove(path))
	}
}

// TestVolumes: an emptyDir of a Pod has mode 0777 and belongs to root.
func TestVolumes(t *testing.T) {
	t.Parallel()
	cmd := asStranger(t, "true")
	require.NotNil(t, cmd)
	dir, err := os.MkdirTemp("", "volume")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	volume := filepath.Join(dir, "run")
	require.NoError(t, os.Mkdir(volume, 0o700))
	if err := syscall.Mount("tmpfs", volume, "tmpfs", 0, "mode=777"); err != nil {
		t.Skip("no right to mount: ", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(volume, syscall.MNT_DETACH) })
	root, err := os.OpenRoot(volume)
	require.NoError(t, err)
	require.True(t, isVolume(root))
	require.NoError(t, root.Close())
	require.NoError(t, os.Chmod(dir, 0o777))
	root, err = os.OpenRoot(volume)
	require.NoError(t, err)
	require.False(t, isVolume(root), "others can put another in its place")
	require.NoError(t, root.Close())
}

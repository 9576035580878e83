package proxy

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// inForce runs a rig with one service, all new.
func inForce(t *testing.T) *rig {
	t.Helper()
	r := newRig(t)
	r.run()
	r.apply(r.service("api", full))
	r.waitForSide("api", "new")
	return r
}

// TestSideCheck: whatever keeps nginx from seeing the shares is reported, and the
// replica is not ready: all its requests go to old.
func TestSideCheck(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil, mend func(t *testing.T, dir string)
	}{
		"the directory is closed": {
			func(t *testing.T, dir string) { require.NoError(t, os.Chmod(filepath.Join(dir, "shares"), 0o700)) },
			func(t *testing.T, dir string) { require.NoError(t, os.Chmod(filepath.Join(dir, "shares"), 0o755)) },
		},
		"the way to it is closed": {
			func(t *testing.T, dir string) { require.NoError(t, os.Chmod(filepath.Dir(dir), 0o700)) },
			func(t *testing.T, dir string) { require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755)) },
		},
		"a directory is gone": {
			func(t *testing.T, dir string) {
				require.NoError(t, os.Rename(filepath.Join(dir, "shares", "all"), filepath.Join(dir, "shares", "all~")))
			},
			func(t *testing.T, dir string) {
				require.NoError(t, os.Rename(filepath.Join(dir, "shares", "all~"), filepath.Join(dir, "shares", "all")))
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if os.Geteuid() != 0 {
				t.Skip("the workers run as another user only if root starts them")
			}
			r := inForce(t)
			c.spoil(t, r.params.RuntimeDir)
			require.Equal(t, "old", r.get("api"))
			state := r.waitFor("not ready", func(s status.Status) bool { return !s.Ready })
			require.Contains(t, state.Nginx.SideProblem, "nginx does not see which requests belong to new, all go to old")
			require.ErrorContains(t, r.SideProblem(), state.Nginx.SideProblem)
			c.mend(t, r.params.RuntimeDir)
			r.waitFor("ready", func(s status.Status) bool { return s.Ready && s.Nginx.SideProblem == "" })
			r.waitForSide("api", "new")
		})
	}
}

// TestSilentNginx: a replica whose workers answer nothing is not ready.
func TestSilentNginx(t *testing.T) {
	t.Parallel()
	r := inForce(t)
	workers, err := testbed.Children(r.Status().Nginx.PID)
	require.NoError(t, err)
	signal := func(signal syscall.Signal) {
		for _, worker := range workers {
			_ = syscall.Kill(worker.PID, signal)
		}
	}
	t.Cleanup(func() { signal(syscall.SIGCONT) })
	signal(syscall.SIGSTOP)
	state := r.waitFor("not ready", func(s status.Status) bool { return !s.Ready })
	require.Contains(t, state.Nginx.SideProblem, "nginx does not answer")
	signal(syscall.SIGCONT)
	r.waitFor("ready", func(s status.Status) bool { return s.Ready && s.Nginx.SideProblem == "" })
	r.waitForSide("api", "new")
}

// TestWeightsAreRestored: a symlink or a share that somebody removes comes back.
func TestWeightsAreRestored(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{
		"the symlink of a service": "weights/api", "a share": "shares/10000", "all weights": "weights",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := inForce(t)
			require.NoError(t, os.RemoveAll(filepath.Join(r.params.RuntimeDir, path)))
			if path == "weights" {
				require.NoError(t, os.Mkdir(filepath.Join(r.params.RuntimeDir, path), 0o755))
			}
			require.Equal(t, "old", r.get("api"))
			r.waitForSide("api", "new")
			r.waitFor("ready", func(s status.Status) bool { return s.Ready })
		})
	}
}

// TestClosedRuntimeDirIsRefused before anything is served.
func TestClosedRuntimeDirIsRefused(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("the workers run as another user only if root starts them")
	}
	r := newRig(t)
	closed := filepath.Dir(r.params.RuntimeDir)
	require.NoError(t, os.Chmod(closed, 0o700))
	err := r.Run(t.Context(), nil)
	require.ErrorContains(t, err, "nginx's workers run as user daemon and cannot enter the runtime directory "+r.params.RuntimeDir)
	require.ErrorContains(t, err, "("+closed+" has mode 0700); choose another with --runtime-dir")
}

// TestSideCheckOfOneService: the replica stays ready, because others are well.
func TestSideCheckOfOneService(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.run()
	r.apply(r.service("api", full), r.service("other", full/2))
	require.NoError(t, os.RemoveAll(filepath.Join(r.params.RuntimeDir, "shares/10000/safe")))
	state := r.waitFor("reported", func(s status.Status) bool { return s.Services[0].SideProblem != "" })
	require.Equal(t, "weights/api: bucket 9999 goes to old instead of new", state.Services[0].SideProblem)
	require.True(t, state.Ready)
	require.Empty(t, state.Services[1].SideProblem)
	require.Empty(t, state.Nginx.SideProblem)
}

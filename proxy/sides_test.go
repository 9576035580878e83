package proxy

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

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

// TestConnectionsTaken: a replica without connections for requests is not ready, whether
// clients still get an answer or none, and is ready again when some are free.
func TestConnectionsTaken(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.params.Workers = 1
	r.Agent = r.newAgent()
	r.options.Params.OpenFiles = 128 // so that a worker has 64 connections
	r.run()
	r.apply(r.service("api", full))
	r.waitForSide("api", "new")

	held := r.fill()
	state := r.waitFor("not ready", func(s status.Status) bool { return !s.Ready })
	require.True(t, state.Nginx.ConnectionsTaken)
	require.Contains(t, state.Nginx.SideProblem, "nginx has no connection left, requests fail: ")
	require.ErrorContains(t, r.SideProblem(), state.Nginx.SideProblem)

	// One after another ends, until one is free for a client and none for a backend. That of
	// the answer before is still open when it is free again.
	require.Eventually(t, func() bool {
		if len(held) > 0 && !strings.Contains(r.get("api"), "500 Internal Server Error") {
			_ = held[0].Close()
			held = held[1:]
			return false
		}
		return len(held) > 0
	}, 10*time.Second, time.Millisecond, "no request was answered with 500")
	r.requireStill(3*sideInterval, func(s status.Status) bool { return !s.Ready && s.Nginx.ConnectionsTaken })
	require.Eventually(t, func() bool { return strings.Contains(r.get("api"), "500 Internal Server Error") }, 10*time.Second, time.Millisecond)
	require.Contains(t, r.Status().Nginx.SideProblem, "all connections of a worker are taken")

	for _, conn := range held {
		_ = conn.Close()
	}
	r.waitFor("ready", func(s status.Status) bool { return s.Ready && s.Nginx.SideProblem == "" && !s.Nginx.ConnectionsTaken })
	r.waitForSide("api", "new")
}

// fill takes all connections of the one worker with halves of requests. Each follows a
// whole one: with its answer nginx has begun with the half. It closes connections of which
// it has read nothing for new ones.
func (r *rig) fill() (held []net.Conn) {
	r.t.Helper()
	for refused := 0; refused < 5; {
		conn, err := net.Dial("tcp", r.params.Listen.String())
		require.NoError(r.t, err)
		r.t.Cleanup(func() { _ = conn.Close() })
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: unknown\r\n\r\nGET / HTTP/1.1\r\nHost: api.old.test\r\n")
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			refused++
			continue
		}
		refused, held = 0, append(held, conn)
	}
	return held
}

// requireStill checks that a status stays for a while.
func (r *rig) requireStill(while time.Duration, condition func(status.Status) bool) {
	r.t.Helper()
	require.Never(r.t, func() bool { return !condition(r.Status()) }, while, 20*time.Millisecond)
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

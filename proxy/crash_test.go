package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/nginxgen"
)

const agentVariable = "PROXY_TEST_AGENT"

// agentProcess is what an agent in another process serves.
type agentProcess struct {
	Params   nginxgen.Params
	Old, New string
	Share    migration.Share
	Trip     bool
}

type mustT struct{}

func (mustT) Errorf(format string, args ...any) { fmt.Fprintf(os.Stderr, format, args...) }
func (mustT) FailNow()                          { os.Exit(3) }

func runAgentProcess(text string) int {
	var p agentProcess
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return 4
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	agent, err := New(ctx, options(p.Params))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 5
	}
	agent.ApplyTable(table(mustT{}, service(mustT{}, "api", p.Share, p.Old, p.New)), "test")
	if p.Trip {
		agent.SetFallback("api", status.FallenBack, "test")
	}
	if err := agent.Run(ctx, nil); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 6
	}
	return 0
}

// startProcess starts an agent in another process, through the command prefix.
func (r *rig) startProcess(p agentProcess, prefix ...string) *exec.Cmd {
	r.t.Helper()
	p.Params, p.Old, p.New = r.params, r.old, r.new
	text, err := json.Marshal(p)
	require.NoError(r.t, err)
	program, err := os.Executable()
	require.NoError(r.t, err)
	command := append(prefix, program)
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), agentVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	require.NoError(r.t, cmd.Start())
	r.t.Cleanup(func() { _ = cmd.Process.Kill() }) // if the test fails first
	return cmd
}

// countNew sends n requests and counts the responses of new.
func (r *rig) countNew(n int) (fromNew int) {
	for range n {
		if r.get("api") == "new" {
			fromNew++
		}
	}
	return fromNew
}

func TestAKilledMasterIsRestartedWithTheSameWeights(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.run()
	r.apply(r.service("api", full), r.service("half", full/2))
	for restarts := 1; restarts <= 2; restarts++ {
		require.NoError(t, syscall.Kill(r.Status().Nginx.PID, syscall.SIGKILL))
		r.waitFor("restarted", func(s status.Status) bool { return s.Nginx.Restarts == restarts && s.Nginx.PID != 0 })
		r.waitForSide("api", "new")
	}
	require.Equal(t, 20, r.countNew(20))
	state, err := os.Readlink(r.dir.path("weights", "half"))
	require.NoError(t, err)
	require.Equal(t, "../shares/5000", state)
	r.apply(r.service("api", 0))
	require.Equal(t, "old", r.get("api"), "changes still apply")
}

func TestAKilledAgentLosesNoRequest(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	killed := r.startProcess(agentProcess{Share: full})
	r.waitForSide("api", "new")
	require.NoError(t, killed.Process.Kill())
	require.Error(t, killed.Wait())
	require.Equal(t, 20, r.countNew(20), "nginx continues without the agent")

	pid := r.pid()
	r.run()
	r.apply(r.service("api", full))
	now := r.Status()
	require.Equal(t, pid, now.Nginx.PID, "the same nginx, taken over")
	require.Zero(t, now.Nginx.Reloads)
	require.Equal(t, 20, r.countNew(20))
	r.apply(r.service("api", full), r.service("more", full))
	require.Equal(t, "new", r.get("more"), "changes still apply")
	require.Equal(t, pid, r.Status().Nginx.PID)
}

func TestTheChangeOfAKilledAgentIsFinished(t *testing.T) {
	t.Parallel()
	for name, finish := range map[string]func(*rig){
		"forward": func(r *rig) { r.apply(r.service("api", full), r.service("more", full)) },
		"back":    func(r *rig) { r.apply(r.service("api", full)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			killed := r.startProcess(agentProcess{Share: full})
			r.waitForSide("api", "new")
			require.NoError(t, killed.Process.Kill())
			require.Error(t, killed.Wait())
			// Its last step was a swap to a config that nginx never loaded.
			require.NoError(t, os.CopyFS(r.dir.path("conf", "next"), os.DirFS(r.dir.path("current"))))
			require.NoError(t, r.dir.swap("next"))
			pid := r.pid()
			r.run()
			finish(r)
			require.Equal(t, pid, r.Status().Nginx.PID)
			require.Equal(t, r.Status().Nginx.StructureDigest, r.dir.current())
			require.Equal(t, 20, r.countNew(20))
		})
	}
}

func (r *rig) pid() int {
	text, err := os.ReadFile(r.dir.path("nginx.pid"))
	require.NoError(r.t, err)
	pid, err := strconv.Atoi(string(bytes.TrimSpace(text)))
	require.NoError(r.t, err)
	return pid
}

func TestAFallbackSurvivesAKilledAgent(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	killed := r.startProcess(agentProcess{Share: full, Trip: true})
	r.waitForSide("api", "old")
	require.NoError(t, killed.Process.Kill())
	require.Error(t, killed.Wait())
	r.run()
	r.apply(r.service("api", full))
	require.Equal(t, status.FallenBack, r.Status().Services[0].Phase)
	require.Zero(t, r.countNew(20))
	r.SetFallback("api", status.Migrating, "recovered")
	r.waitForSide("api", "new")
}

// TestTheFallbackBeforeTheFirstTable: the circuit breaker knows more than the
// weight of the killed agent.
func TestTheFallbackBeforeTheFirstTable(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	killed := r.startProcess(agentProcess{Share: full, Trip: true})
	r.waitForSide("api", "old")
	require.NoError(t, killed.Process.Kill())
	require.Error(t, killed.Wait())
	r.SetFallback("api", status.Migrating, "")
	r.run()
	r.apply(r.service("api", full))
	require.Equal(t, status.Migrating, r.Status().Services[0].Phase)
	r.waitForSide("api", "new")
}

func TestAKilledAgentAndMasterLeaveNoOldWorkers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	killed := r.startProcess(agentProcess{Share: 0})
	r.waitForSide("api", "old")
	master := r.pid()
	require.NoError(t, killed.Process.Kill())
	require.Error(t, killed.Wait())
	require.NoError(t, syscall.Kill(master, syscall.SIGKILL))
	r.run()
	r.apply(r.service("api", full))
	// The agent may first adopt the master that is still dying.
	r.waitFor("another master", func(s status.Status) bool { return s.Nginx.PID != 0 && s.Nginx.PID != master })
	r.waitForSide("api", "new")
	require.Equal(t, 20, r.countNew(20))
}

// TestOnlyTheRuntimeDirectoryIsWritten runs the agent and nginx as nobody
// while everything but the runtime directory is mounted read-only.
func TestOnlyTheRuntimeDirectoryIsWritten(t *testing.T) {
	t.Parallel()
	nobody, err := user.Lookup("nobody")
	if os.Getuid() != 0 || err != nil || exec.Command("unshare", "--mount", "true").Run() != nil {
		t.Skip("needs root and the right to mount")
	}
	r := newRig(t)
	r.params.User = ""
	uid, err := strconv.Atoi(nobody.Uid)
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(r.params.RuntimeDir, 0o755))
	require.NoError(t, os.Chown(r.params.RuntimeDir, uid, uid))
	const script = `mount --bind "$0" "$0" && mount -o remount,bind,ro / && for m in /tmp /var /run /dev/shm; do
		mountpoint -q $m && mount -o remount,bind,ro $m; done
		touch /tmp/probe 2>/dev/null && exit 9
		exec setpriv --reuid=nobody --clear-groups --inh-caps=-all --bounding-set=-all "$@"`
	agent := r.startProcess(agentProcess{Share: full}, "unshare", "--mount", "sh", "-c", script, r.params.RuntimeDir)
	t.Cleanup(func() { _ = agent.Process.Kill() })
	r.waitForSide("api", "new")
	require.NoError(t, agent.Process.Signal(syscall.SIGTERM))
	require.NoError(t, agent.Wait())
	require.Eventually(t, func() bool { return r.get("api") != "new" }, 5*time.Second, 10*time.Millisecond)
}

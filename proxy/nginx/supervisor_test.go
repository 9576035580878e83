package nginx

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// supervise runs a supervisor until the test ends.
func (b *bench) supervise(t *testing.T, s *Supervisor) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { s.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		done.Wait()
	})
}

func (b *bench) supervisor() *Supervisor {
	return NewSupervisor(b.Nginx, Options{Log: noLog(), QuitTimeout: 2 * time.Second, OrphanTimeout: time.Second})
}

// newSupervised is a bench whose supervisor starts nginx with config one.
func newSupervised(t *testing.T) (*bench, *Supervisor) {
	t.Helper()
	b := newBench(t)
	b.use(t, "one", "")
	s := b.supervisor()
	b.supervise(t, s)
	return b, s
}

func (b *bench) awaitDigest(t *testing.T, digest string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	require.NoError(t, b.supervisor().AwaitDigest(ctx, digest))
}

// awaitMaster waits until nginx serves the digest and the supervisor knows its master with
// both workers. One worker alone answers the digest, and may do so before the supervisor
// knows its master.
func (b *bench) awaitMaster(t *testing.T, s *Supervisor, digest string) (master int) {
	t.Helper()
	b.awaitDigest(t, digest)
	waitFor(t, "the master has both workers", func() bool {
		master = s.State().PID
		return master != 0 && len(groupWorkers(master)) == 2
	})
	return master
}

func TestStartReloadReopenEnd(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.use(t, "one", "")
	s := b.supervisor()
	require.ErrorIs(t, s.Reload(), errNotRunning)
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { s.Run(ctx) })
	master := b.awaitMaster(t, s, "one")

	b.use(t, "two", "")
	old := groupWorkers(master)
	require.Len(t, old, 2)
	require.True(t, old.anyListening())
	require.NoError(t, s.Reload())
	b.awaitDigest(t, "two")
	s.AwaitReplaced()
	require.False(t, old.anyListening())
	require.NoError(t, os.Rename(b.path("error.log"), b.path("error.log.1")))
	require.NoError(t, s.Reopen())
	waitFor(t, "the log is opened again", func() bool { _, err := os.Stat(b.path("error.log")); return err == nil })
	require.Zero(t, s.State().Restarts)

	cancel()
	done.Wait()
	require.False(t, b.serves())
	require.Zero(t, s.State().PID)
	require.NoFileExists(t, b.path("nginx.pid"))
}

func TestAReloadThatNginxDoesNotApplyIsReported(t *testing.T) {
	t.Parallel()
	b, s := newSupervised(t)
	b.awaitDigest(t, "one")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()

	s.ClearErrors()
	b.use(t, "two", fmt.Sprintf("server { listen %s; }", taken.Addr()))
	require.NoError(t, b.Test(t.Context(), b.currentConf()), "nginx -t sees nothing wrong")
	require.NoError(t, s.Reload(), "the signal is sent")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	require.ErrorContains(t, s.AwaitDigest(ctx, "two"), "still serves config one instead of two")
	waitFor(t, "nginx gives up", func() bool { return len(s.RecentErrors()) > 0 })
	require.Contains(t, s.RecentErrors().Error(), "bind() to "+taken.Addr().String()+" failed (98: Address already in use)")
	require.True(t, b.serves())
}

// TestRefusedReloadEndsTheWait: nginx says so at once, and the wait does not go on.
func TestRefusedReloadEndsTheWait(t *testing.T) {
	t.Parallel()
	b, s := newSupervised(t)
	b.awaitDigest(t, "one")
	b.use(t, "two", "nonsense;")
	require.NoError(t, s.Reload())
	err := s.AwaitDigest(t.Context(), "two") // which has no end of its own
	require.ErrorIs(t, err, ErrNotServed)
	require.ErrorContains(t, err, "still serves config one instead of two")
	require.Contains(t, s.RecentErrors().Error(), `unknown directive "nonsense"`)
	require.True(t, b.serves())
}

func TestAKilledMasterIsReplacedAndItsWorkersEnd(t *testing.T) {
	t.Parallel()
	b, s := newSupervised(t)
	for restarts := 1; restarts <= 2; restarts++ {
		master := b.awaitMaster(t, s, "one")
		require.NoError(t, syscall.Kill(master, syscall.SIGKILL))
		waitFor(t, "a new master", func() bool { now := s.State(); return now.Restarts == restarts && now.PID != 0 })
		b.awaitDigest(t, "one")
		waitFor(t, "the old workers end", func() bool { return len(groupWorkers(master)) == 0 })
		require.True(t, b.serves())
	}
}

func TestAKilledWorkerIsReplaced(t *testing.T) {
	t.Parallel()
	b, s := newSupervised(t)
	master := b.awaitMaster(t, s, "one")
	killed := groupWorkers(master)
	killed.signal(syscall.SIGKILL)
	waitFor(t, "new workers", func() bool { return b.serves() && len(groupWorkers(master)) == 2 })
	require.Zero(t, s.State().Restarts)
}

func TestStateHasTheReasonOfAFailedStart(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.use(t, "one", "nonsense on;")
	s := b.supervisor()
	b.supervise(t, s)
	waitFor(t, "several tries", func() bool { return s.State().Restarts >= 3 })
	require.Contains(t, s.State().LastError, `unknown directive "nonsense"`)
	b.use(t, "two", "")
	b.awaitDigest(t, "two")
}

// startUnsupervised starts nginx as an earlier program would have.
func (b *bench) startUnsupervised(t *testing.T) *Process {
	t.Helper()
	process, err := b.start()
	require.NoError(t, err)
	b.awaitDigest(t, "one")
	waitFor(t, "both workers run", func() bool { return len(groupWorkers(process.PID())) == 2 })
	return process
}

func TestAdoptTakesOverARunningNginx(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.use(t, "one", "")
	process := b.startUnsupervised(t)
	s := b.supervisor()
	digest, err := s.Adopt(t.Context())
	require.NoError(t, err)
	require.Equal(t, "one", digest)
	b.supervise(t, s)
	require.Equal(t, process.PID(), s.State().PID)

	b.use(t, "two", "")
	require.NoError(t, s.Reload())
	b.awaitDigest(t, "two")
	require.NoError(t, process.signal(syscall.SIGKILL))
	waitFor(t, "the end of the adopted master is noticed", func() bool { return s.State().Restarts == 1 })
	b.awaitDigest(t, "two")
}

func TestOrphansOfAKilledMasterAreEnded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.use(t, "one", "")
	process := b.startUnsupervised(t)
	require.NoError(t, process.signal(syscall.SIGKILL))
	<-process.Exited()
	require.True(t, b.serves(), "workers serve without a master")
	s := b.supervisor()
	_, err := s.Adopt(t.Context())
	require.ErrorIs(t, err, errNotRunning)
	b.use(t, "two", "")
	b.supervise(t, s)
	b.awaitDigest(t, "two")
	waitFor(t, "the old workers end", func() bool { return len(groupWorkers(process.PID())) == 0 })
}

func TestAnotherProcessWithThePIDIsLeftAlone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.use(t, "one", "")
	sleeper := exec.Command("sleep", "60")
	sleeper.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, sleeper.Start())
	require.NoError(t, os.WriteFile(b.path("nginx.pid"), fmt.Appendln(nil, sleeper.Process.Pid), 0o644))
	s := b.supervisor()
	_, err := s.Adopt(t.Context())
	require.ErrorIs(t, err, errNotRunning)
	b.supervise(t, s)
	b.awaitDigest(t, "one")
	require.NoError(t, sleeper.Process.Signal(syscall.Signal(0)))
	require.NoError(t, sleeper.Process.Kill())
	require.ErrorContains(t, sleeper.Wait(), "killed", "the test killed it, not the supervisor")
}

func TestTheNginxOfAnotherDirectoryIsNotAdopted(t *testing.T) {
	t.Parallel()
	other := newBench(t)
	other.use(t, "one", "")
	otherMaster := other.startUnsupervised(t)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		otherMaster.quit(ctx)
	})
	b := newBench(t)
	require.NoError(t, os.WriteFile(b.path("nginx.pid"), fmt.Appendln(nil, otherMaster.PID()), 0o644))
	_, err := b.adopt()
	require.ErrorIs(t, err, errNotRunning)
	require.Empty(t, orphans(otherMaster.PID()))
	require.True(t, other.serves())
}

func TestTheErrorLogIsLoggedAndTruncated(t *testing.T) {
	t.Parallel()
	var logged bytes.Buffer
	file := filepath.Join(t.TempDir(), "error.log")
	log := &errorLog{path: file, log: slog.New(slog.NewTextHandler(&logged, nil))}
	write := func(text string) {
		out, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		require.NoError(t, err)
		_, err = out.WriteString(text)
		require.NoError(t, err)
		require.NoError(t, out.Close())
	}
	write("2024/01/01 12:00:00 [emerg] 12#12: bind() failed\n2024/01/01 12:00:00 [emerg] 12#12: bind() failed\n2024/01/01 12:00:01 [warn] 12#12: *3 half a")
	require.Equal(t, Problems{"[emerg] bind() failed"}, log.recent())
	require.NotContains(t, logged.String(), "half")
	write(" line\n")
	log.clear()
	require.Empty(t, log.recent())
	require.Contains(t, logged.String(), `text="*3 half a line"`)

	write(string(bytes.Repeat([]byte("2024/01/01 12:00:01 [notice] 1#1: x\n"), maxLogSize/30)))
	log.read()
	log.read()
	require.Contains(t, logged.String(), "more errors than are shown")
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Less(t, info.Size(), int64(maxLogSize))
}

func TestBackoffStartsAtOnceAndIsBounded(t *testing.T) {
	t.Parallel()
	var waits []time.Duration
	for failures := range 9 {
		waits = append(waits, backoff(failures))
	}
	const ms = time.Millisecond
	require.Equal(t, []time.Duration{0, 0, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 6400 * ms, 10000 * ms}, waits)
	require.Equal(t, maxBackoff, backoff(1000))
}

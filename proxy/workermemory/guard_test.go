package workermemory

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestTaken: only nginx's own words count, and for a minute.
func TestTaken(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for line, want := range map[string]bool{
		`*53807 malloc(32768) failed (12: Cannot allocate memory) while reading client request headers, client: 127.0.0.1`: true,
		`posix_memalign(16, 4096) failed (12: Out of memory)`:                                                              true,
		`*1 malloc(9) failed (11: no)`: false,
		`*1 client sent invalid header line: "malloc(32768) failed (12: Cannot allocate memory)"`: false,
	} {
		g := Guard{Log: slog.New(slog.DiscardHandler)}
		g.Observe(line, now)
		require.Equal(t, want, g.Taken(now.Add(59*time.Second)), line)
		require.False(t, g.Taken(now.Add(time.Minute)), line)
	}
}

// TestLook: a process gets a limit, which follows what is free and never is below what it
// has; what keeps the guard from it is logged once.
func TestLook(t *testing.T) {
	t.Parallel()
	process := exec.Command("sleep", "60")
	require.NoError(t, process.Start())
	t.Cleanup(func() { _ = process.Process.Kill(); _ = process.Wait() })
	pid := process.Process.Pid
	limit := func() uint64 {
		var now unix.Rlimit
		require.NoError(t, unix.Prlimit(pid, unix.RLIMIT_DATA, nil, &now))
		return now.Cur
	}
	var log bytes.Buffer
	used, failure := int64(100<<20), error(nil)
	g := Guard{
		Limit: 1000 << 20, Workers: func() []int { return []int{pid, os.Getpid() << 8} },
		Used: func() (int64, error) { return used, failure }, Log: slog.New(slog.NewTextHandler(&log, nil)),
	}
	require.NoError(t, g.look())
	require.InDelta(t, 700<<20, limit(), 16<<20)
	used = 999 << 20
	require.NoError(t, g.look())
	require.Less(t, limit(), uint64(16<<20))
	used = 500 << 20
	require.NoError(t, g.look())
	require.InDelta(t, 300<<20, limit(), 16<<20)
	failure = errors.New("no control group")
	for range 3 {
		g.report(g.look())
	}
	require.Equal(t, 1, strings.Count(log.String(), "measure the memory of the container: no control group"))
}

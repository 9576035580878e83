package accesslog

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestTailSheds: when lines come faster than they are read, some are only counted, and
// what was read is given back to the disk.
func TestTailSheds(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "access.log")
	counters := NewCounters(time.Now())
	tail := &Tail{
		Path: path, Nginx: reopenFunc(func() error { return nil }), Log: slog.New(slog.DiscardHandler),
		Consumer: &Intake{Counters: counters, Log: slog.New(slog.DiscardHandler)},
	}
	tail.setDefaults()
	line := strings.Repeat("x", 8191) + "\n"
	lines := uint64(5 * maxBacklog / 4 / len(line))
	require.NoError(t, os.WriteFile(path, bytes.Repeat([]byte(line), int(lines)), 0o600))
	require.NoError(t, tail.openFirst())
	defer tail.close()
	tail.step(time.Now())
	require.Equal(t, lines, counters.Log().Lines, "each line is counted once")
	require.Equal(t, lines, counters.Log().Dropped, "these are no lines of nginx, so the others are dropped too")
	var stat syscall.Stat_t
	require.NoError(t, syscall.Stat(path, &stat))
	require.LessOrEqual(t, stat.Blocks*512, int64(keptBytes+2*chunkSize), "the rest was given back")
	require.Equal(t, int64(lines)*int64(len(line)), stat.Size)

	appendTo(t, path, "one more\n")
	tail.step(time.Now())
	require.Equal(t, lines+1, counters.Log().Lines)
}

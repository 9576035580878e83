package cacheroom

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestHasRoom(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		free      uint64
		was, want bool
	}{
		{0, true, false}, {0, false, false}, {199, true, false}, {200, true, true},
		{299, false, false}, {300, false, true}, {1000, true, true},
	} {
		require.Equal(t, c.want, hasRoom(c.free, 300, c.was), c)
	}
}

// TestTheFileFollowsTheDisk: there is a file while there is room; a disk that cannot be
// measured has none.
func TestTheFileFollowsTheDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "cache-on")
	run := func(room uint64, done func() bool) {
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		guard := &Guard{RuntimeDir: dir, Room: room, Log: slog.New(slog.DiscardHandler)}
		guard.SetUsed(true)
		go func() { defer close(ended); guard.Run(ctx) }()
		require.Eventually(t, done, 10*time.Second, 5*time.Millisecond)
		stop()
		<-ended
	}
	exists := func() bool { _, err := os.Stat(file); return err == nil }
	missing := func() bool { return !exists() }
	require.NoError(t, os.Mkdir(filepath.Join(dir, "temp"), 0o755))
	run(1, exists)
	require.FileExists(t, file, "it stays for the next agent")
	run(1<<62, missing)
	unused := &Guard{RuntimeDir: dir, Room: 1, Log: slog.New(slog.DiscardHandler)}
	ended, stop := context.WithCancel(t.Context())
	stop()
	unused.Run(ended)
	require.NoFileExists(t, file, "no service has a cache")
	run(1, exists)
	require.NoError(t, os.Remove(filepath.Join(dir, "temp")))
	run(1, missing)
}

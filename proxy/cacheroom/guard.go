package cacheroom

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/migration-proxy/migration-proxy/internal/beat"
)

// interval is the time between two looks at the disk. In this time the cache must not
// fill the room that is left when the guard switches it off.
const interval = 500 * time.Millisecond

// Guard keeps the file cache-on right.
type Guard struct {
	RuntimeDir string
	Room       uint64 // bytes that must be free to switch the cache on; two thirds keep it on
	Log        *slog.Logger

	used      atomic.Bool
	on, known bool
}

// SetUsed says whether any service has a cache. Until then the guard does nothing.
func (g *Guard) SetUsed(used bool) { g.used.Store(used) }

// Run looks at the disk until ctx ends. The file stays as it is then: the next agent
// takes nginx over.
func (g *Guard) Run(ctx context.Context) {
	for {
		if g.used.Load() {
			g.look()
		}
		select {
		case <-ctx.Done():
			return
		case <-beat.After(interval):
		}
	}
}

func (g *Guard) look() {
	free, err := g.free()
	on := hasRoom(free, g.Room, g.on)
	if g.known && on == g.on {
		return
	}
	if err = errors.Join(err, g.write(on)); on {
		g.Log.Debug("cache is on", "free_bytes", free)
	} else {
		g.Log.Warn("cache is off, its disk has little room", "free_bytes", free, "needed_bytes", g.Room, "error", err)
	}
	g.on, g.known = on, true
}

// free gives the bytes that nginx may still write; none if that cannot be told.
func (g *Guard) free() (uint64, error) {
	var disk unix.Statfs_t
	dir := filepath.Join(g.RuntimeDir, "temp")
	if err := unix.Statfs(dir, &disk); err != nil {
		return 0, fmt.Errorf("measure the disk of %s: %w", dir, err)
	}
	return disk.Bavail * uint64(disk.Bsize), nil
}

// hasRoom decides, with less room needed to stay on than to begin.
func hasRoom(free, room uint64, on bool) bool {
	if on {
		return free >= room/3*2
	}
	return free >= room
}

func (g *Guard) write(on bool) error {
	file := filepath.Join(g.RuntimeDir, "cache-on")
	if on {
		return os.WriteFile(file, nil, 0o644)
	}
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

package drills

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/atomicfile"
	"github.com/migration-proxy/migration-proxy/internal/beat"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

// pollInterval is how soon a drill begins.
const pollInterval = 100 * time.Millisecond

func path(runtimeDir string) string { return filepath.Join(runtimeDir, "control", status.DrillsKey) }

// Read gives the drills of a runtime directory.
func Read(runtimeDir string) (status.Drills, error) {
	text, err := os.ReadFile(path(runtimeDir))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return status.Drills{}, nil
	case err != nil:
		return status.Drills{}, fmt.Errorf("read the drills: %w", err)
	}
	return status.ParseDrills(map[string]string{status.DrillsKey: string(text)})
}

// Write gives a drill to the agent of a runtime directory.
func Write(runtimeDir, service string, drill status.Drill) error {
	data := map[string]string{}
	if text, err := os.ReadFile(path(runtimeDir)); err == nil {
		data[status.DrillsKey] = string(text)
	}
	text, err := status.WithDrill(data, service, drill)
	if err == nil {
		err = atomicfile.Write(path(runtimeDir), []byte(text), 0o600)
	}
	if err != nil {
		return fmt.Errorf("write the drill: %w; name the runtime directory of a running agent, and be its user", err)
	}
	return nil
}

// Breaker sends everything to old while a drill is under way; *breaker.Breaker implements it.
type Breaker interface {
	SetDrills(drills map[string]status.Drill, now time.Time)
}

// Follow hands each version of the file on, until ctx ends.
func Follow(ctx context.Context, runtimeDir string, to Breaker, log *slog.Logger) {
	var seen time.Time
	for {
		if info, err := os.Stat(path(runtimeDir)); err == nil && !info.ModTime().Equal(seen) {
			seen = info.ModTime()
			found, err := Read(runtimeDir)
			if err != nil {
				log.Warn("drills not read", "error", err)
			} else {
				to.SetDrills(found.Services, time.Now())
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-beat.After(pollInterval):
		}
	}
}

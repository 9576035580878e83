package config

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/stretchr/testify/require"
)

// TestHalfWrittenFileIsNotRead truncates and writes the file as an editor does, in
// two events within the settle time: only the whole text is emitted.
func TestHalfWrittenFileIsNotRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "migration.yaml")
	write := func(text string) { require.NoError(t, os.WriteFile(path, []byte(text), 0o600)) }
	write("before")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		events := make(chan fsnotify.Event)
		var emitted []string
		w := &watch{path: path, events: events, emit: func(text []byte, _ error) { emitted = append(emitted, string(text)) }}
		go w.loop(ctx, NewFile(path).EventsOnly())
		synctest.Wait()
		write("")
		events <- fsnotify.Event{}
		time.Sleep(4 * time.Millisecond) // synctest's clock
		write("after")
		events <- fsnotify.Event{}
		time.Sleep(4 * time.Millisecond)
		synctest.Wait()
		require.Equal(t, []string{"before", "after"}, emitted)
	})
}

package accesslog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/beat"
)

const (
	// DefaultMaxSize is the size in bytes at which the log is rotated.
	DefaultMaxSize = 64 << 20
	// DefaultInterval is how often the file is read.
	DefaultInterval = 100 * time.Millisecond
	// quietTime is how long a rotated file must not grow before it is removed:
	// ten times nginx's flush=100ms.
	quietTime = time.Second
	// reopenPause is the time between two requests to nginx to reopen.
	reopenPause = time.Second
	// rotatedSuffix is appended to the name of a rotated file.
	rotatedSuffix = ".1"
)

// LineConsumer takes one or more whole lines that were read at now. The bytes
// are only valid during the call.
type LineConsumer interface {
	Consume(lines []byte, now time.Time)
	// Shed says how many lines were not read, because too many waited.
	Shed(lines int)
}

// LogReopener makes nginx open its log files again (USR1).
type LogReopener interface {
	ReopenLogs() error
}

// Tail reads the file that nginx writes, and rotates it:
//
//	file                     what Tail does
//	larger than MaxSize      renames it to .1 and calls Reopen
//	.1                       is read until nginx writes a new file and .1 has
//	                         been quiet for a second, then removed
//	replaced by another      reads both, the old one until it is quiet
//	truncated                reads from its beginning
//	removed                  reads on, and calls Reopen until there is one
//	not there yet            waits
type Tail struct {
	Path     string
	MaxSize  int64         // bytes; 0 means DefaultMaxSize
	Interval time.Duration // 0 means DefaultInterval
	// AtEnd skips the content of the file when Run starts, for an agent that
	// takes over a running nginx.
	AtEnd bool
	// Nginx is called again each second while there is no file.
	Nginx    LogReopener
	Consumer LineConsumer
	Log      *slog.Logger

	current  *follower // the file at Path, or the last one there
	retired  *follower // a file that was rotated or replaced
	reopened time.Time // when Nginx was last called
}

// Run reads until ctx ends and the content of the file at that time is
// consumed. It fails when the file cannot be opened at the start; later errors
// are logged, and the next step tries again.
func (t *Tail) Run(ctx context.Context) error {
	t.setDefaults()
	defer t.close()
	if err := t.openFirst(); err != nil {
		return err
	}
	for {
		t.step(time.Now())
		select {
		case <-ctx.Done():
			t.drain(time.Now())
			return nil
		case <-beat.After(t.Interval):
		}
	}
}

func (t *Tail) setDefaults() {
	if t.MaxSize == 0 {
		t.MaxSize = DefaultMaxSize
	}
	if t.Interval == 0 {
		t.Interval = DefaultInterval
	}
}

// openFirst opens the file, and a rotated file that a killed agent left
// behind: nginx may still be writing to it.
func (t *Tail) openFirst() error {
	var err error
	if t.retired, err = openFollower(t.Path+rotatedSuffix, t.AtEnd); err != nil {
		return err
	}
	t.current, err = openFollower(t.Path, t.AtEnd)
	return err
}

// step reads what is new, and rotates or follows the file.
func (t *Tail) step(now time.Time) {
	t.drain(now)
	t.rotateWhenLarge()
	t.followPath(now)
	t.dropRetired(now)
}

func (t *Tail) drain(now time.Time) {
	for _, f := range []*follower{t.retired, t.current} {
		if f == nil {
			continue
		}
		if err := f.drain(t.Consumer, now); err != nil {
			t.Log.Error("access log not read, trying again", "file", f.file.Name(), "error", err)
		}
	}
}

// rotateWhenLarge only renames: followPath then finds no file and lets nginx
// make one. nginx writes to the renamed file until it has reopened Path.
func (t *Tail) rotateWhenLarge() {
	if t.current == nil || t.retired != nil || t.current.offset < t.MaxSize || !t.current.isAt(t.Path) {
		return
	}
	if err := os.Rename(t.Path, t.Path+rotatedSuffix); err != nil {
		t.Log.Error("access log not rotated, trying again", "error", err)
	}
}

// followPath makes the file that is at Path now the current one.
func (t *Tail) followPath(now time.Time) {
	if t.current != nil && t.current.isAt(t.Path) {
		return
	}
	next, err := openFollower(t.Path, false)
	switch {
	case err != nil:
		t.Log.Error("access log not opened, trying again", "error", err)
	case next != nil:
		t.retire(now)
		t.current = next
		t.drain(now)
	case t.current != nil || t.retired != nil:
		t.reopen(now)
	}
}

func (t *Tail) retire(now time.Time) {
	if t.current == nil {
		return
	}
	if t.retired != nil {
		t.retired.close()
	}
	t.retired = t.current
	t.retired.grew = now
}

func (t *Tail) reopen(now time.Time) {
	if now.Sub(t.reopened) < reopenPause {
		return
	}
	t.reopened = now
	if err := t.Nginx.ReopenLogs(); err != nil {
		t.Log.Error("nginx did not reopen the access log, trying again", "error", err)
	}
}

// dropRetired removes the old file when nginx no longer writes to it.
func (t *Tail) dropRetired(now time.Time) {
	if t.retired == nil || t.current == nil || now.Sub(t.retired.grew) < quietTime {
		return
	}
	if t.retired.isAt(t.Path + rotatedSuffix) {
		if err := os.Remove(t.Path + rotatedSuffix); err != nil {
			t.Log.Error("rotated access log not removed", "error", err)
		}
	}
	t.retired.close()
	t.retired = nil
}

func (t *Tail) close() {
	for _, f := range []*follower{t.retired, t.current} {
		if f != nil {
			f.close()
		}
	}
}

// openFollower gives nil when the file does not exist.
func openFollower(path string, atEnd bool) (*follower, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrPermission) {
		file, err = os.Open(path) // it can be read, but what was read cannot be freed
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open access log: %w", err)
	}
	f := &follower{file: file, grew: time.Now()}
	if atEnd {
		f.offset, err = f.size()
	}
	return f, err
}

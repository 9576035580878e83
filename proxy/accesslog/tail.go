package accesslog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"
)

const (
	// DefaultMaxSize is the size in bytes at which the log is rotated.
	DefaultMaxSize = 64 << 20
	// DefaultInterval is how often the file is looked at.
	DefaultInterval = 100 * time.Millisecond
	// quietTime is how long a rotated file must not grow before it is done
	// with: ten times nginx's flush=100ms.
	quietTime = time.Second
	// reopenPause is the time between two requests to nginx to reopen.
	reopenPause = time.Second
	// rotatedSuffix is appended to the name of the file being left.
	rotatedSuffix = ".1"
)

// Tail follows the file that nginx writes, from the end of what it has
// consumed, and rotates it. Where the file stands and who writes:
//
//	file                     Tail
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
	// AtEnd skips what the file holds when Run starts: for an agent that
	// takes over a running nginx.
	AtEnd bool
	// Reopen makes nginx open Path anew (USR1). It is called again, a second
	// later, while there is no file.
	Reopen func() error
	// Consume takes one or more whole lines; the bytes are only valid during
	// the call.
	Consume func(lines []byte, now time.Time)
	Log     *slog.Logger

	current *follower // the file at Path, or what was there
	retired *follower // a file that was rotated or replaced
	asked   time.Time // when Reopen was last called
}

// Run reads until ctx ends and what the file held by then is consumed. Its
// error is about opening the file at the start; later trouble is logged, and
// tried again at the next look.
func (t *Tail) Run(ctx context.Context) error {
	t.setDefaults()
	defer t.close()
	if err := t.openFirst(); err != nil {
		return err
	}
	ticker := time.NewTicker(t.Interval)
	defer ticker.Stop()
	for {
		t.step(time.Now())
		select {
		case <-ctx.Done():
			t.drain(time.Now())
			return nil
		case <-ticker.C:
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

// openFirst opens what is there, and a rotated file that an agent which
// stopped in the middle left behind: nginx may still be writing to it.
func (t *Tail) openFirst() error {
	var err error
	if t.retired, err = openFollower(t.Path+rotatedSuffix, t.AtEnd); err != nil {
		return err
	}
	t.current, err = openFollower(t.Path, t.AtEnd)
	return err
}

// step is one look at the file.
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
		if err := f.drain(t.Consume, now); err != nil {
			t.Log.Error("Cannot read the access log", "file", f.file.Name(), "error", err)
		}
	}
}

// rotateWhenLarge only renames: followPath then finds no file and asks nginx
// for one. nginx writes on into the renamed file until it has reopened.
func (t *Tail) rotateWhenLarge() {
	if t.current == nil || t.retired != nil || t.current.offset < t.MaxSize || !t.current.isAt(t.Path) {
		return
	}
	if err := os.Rename(t.Path, t.Path+rotatedSuffix); err != nil {
		t.Log.Error("Cannot rotate the access log", "error", err)
	}
}

// followPath makes current the file that is at Path now.
func (t *Tail) followPath(now time.Time) {
	if t.current != nil && t.current.isAt(t.Path) {
		return
	}
	next, err := openFollower(t.Path, false)
	switch {
	case err != nil:
		t.Log.Error("Cannot open the access log", "error", err)
	case next != nil:
		t.retire(now)
		t.current = next
		t.drain(now)
	case t.current != nil || t.retired != nil:
		t.askToReopen(now)
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

func (t *Tail) askToReopen(now time.Time) {
	if now.Sub(t.asked) < reopenPause {
		return
	}
	t.asked = now
	if err := t.Reopen(); err != nil {
		t.Log.Error("Cannot make nginx reopen the access log, trying again", "error", err)
	}
}

// dropRetired lets go of the old file once nobody writes to it any more.
func (t *Tail) dropRetired(now time.Time) {
	if t.retired == nil || t.current == nil || now.Sub(t.retired.grew) < quietTime {
		return
	}
	if t.retired.isAt(t.Path + rotatedSuffix) {
		if err := os.Remove(t.Path + rotatedSuffix); err != nil {
			t.Log.Error("Cannot remove the rotated access log", "error", err)
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

// openFollower gives nil when there is no such file.
func openFollower(path string, atEnd bool) (*follower, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open the access log: %w", err)
	}
	f := &follower{file: file, grew: time.Now()}
	if atEnd {
		f.offset, err = f.size()
	}
	return f, err
}

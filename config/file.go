package config

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settle is how long a change may go on before it is read: an editor's
	// truncate and write arrive as two events.
	settle = 5 * time.Millisecond
	// pollEvery finds what the kernel does not tell: network file systems,
	// directories that were not there when they should be watched, and all
	// that happens where inotify has no instance left for us.
	pollEvery = time.Second
	// maxLinks is Linux's own limit.
	maxLinks = 40
)

// File is a config file that is read again whenever it changes: edited in
// place, replaced by a rename, or reached through symlinks that are swapped,
// as the kubelet does with a mounted ConfigMap.
type File struct {
	path   string
	poll   time.Duration
	notify func() (*fsnotify.Watcher, error)
	again  chan struct{}
}

// NewFile names the file; it need not exist yet.
func NewFile(path string) *File {
	return &File{path: path, poll: pollEvery, notify: fsnotify.NewWatcher, again: make(chan struct{}, 1)}
}

// Reread makes Run emit what the file holds once more, be it new or not.
func (f *File) Reread() {
	select {
	case f.again <- struct{}{}:
	default: // it will
	}
}

// Run calls emit with the file's content, at once and after each change, from
// one goroutine and never twice in a row with the same content, but for
// Reread. A file that cannot be read is emitted as an error, once for each
// different error, and watched on. A slow edit in place may be seen half done;
// it is followed by the whole. Run blocks until the context ends and then
// returns nil; its error is that a relative path leads nowhere.
func (f *File) Run(ctx context.Context, emit func(text []byte, err error)) error {
	path, err := filepath.Abs(f.path)
	if err != nil {
		return fmt.Errorf("watch %s: %w", f.path, err)
	}
	w := &watch{path: path, emit: emit}
	if watcher, err := f.notify(); err != nil {
		slog.Warn("config file is not watched, reading it at intervals (fs.inotify.max_user_instances may be too low)", "path", path, "every", f.poll, "error", err)
	} else {
		defer func() { _ = watcher.Close() }() // nothing is written through it
		w.watcher, w.events, w.errors = watcher, watcher.Events, watcher.Errors
	}
	w.loop(ctx, f)
	return nil
}

// watch is one Run.
type watch struct {
	path    string
	emit    func(text []byte, err error)
	watcher *fsnotify.Watcher // nil, as its channels: only the poll looks
	events  <-chan fsnotify.Event
	errors  <-chan error
	emitted bool
	text    []byte // of the last emission, if failure is ""
	failure string
}

func (w *watch) loop(ctx context.Context, f *File) {
	poll := time.NewTicker(f.poll)
	defer poll.Stop()
	var settled <-chan time.Time
	w.look()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.events:
			if settled == nil {
				settled = time.After(settle)
			}
			continue
		case err := <-w.errors:
			slog.Warn("watch of the config file failed, reading the file", "path", w.path, "error", err)
		case <-f.again:
			w.emitted = false
		case <-settled:
		case <-poll.C:
		}
		settled = nil
		w.look()
	}
}

// look reads the file and emits it if it is news. The directories are watched
// first, so that a change after the reading is seen.
func (w *watch) look() {
	if w.watcher != nil {
		w.follow()
	}
	text, err := readFile(w.path)
	failure := ""
	if err != nil {
		failure = err.Error()
	}
	if w.emitted && failure == w.failure && (err != nil || bytes.Equal(text, w.text)) {
		return
	}
	w.emitted, w.text, w.failure = true, text, failure
	w.emit(bytes.Clone(text), err)
}

// follow watches the directory of the file and of everything on the way from
// there through symlinks. Directories, because a rename replaces the file
// under a watch on itself. What cannot be watched is polled.
func (w *watch) follow() {
	wanted := map[string]bool{}
	collectDirs(w.path, wanted, maxLinks)
	for _, dir := range w.watcher.WatchList() {
		if !wanted[dir] {
			_ = w.watcher.Remove(dir) // gone already, then the kernel did it
		}
		delete(wanted, dir)
	}
	for dir := range wanted {
		_ = w.watcher.Add(dir)
	}
}

// collectDirs adds the directory of a path and, if the path or a directory on
// it is a symlink, those of its target. With the kubelet's
// migration.yaml -> ..data/migration.yaml and ..data -> ..2024 these are the
// mount and ..2024.
func collectDirs(path string, into map[string]bool, links int) {
	dir := filepath.Dir(path)
	into[dir] = true
	for at := path; at != filepath.Dir(at) && links > 0; at = filepath.Dir(at) {
		target, err := os.Readlink(at)
		if err != nil {
			continue
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(at), target)
		}
		into[filepath.Dir(at)] = true
		collectDirs(filepath.Join(target, path[len(at):]), into, links-1)
		return
	}
}

// readFile reads a config as File does. Only a regular file is read: a pipe
// would block for ever.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read config: %s is not a regular file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	defer func() { _ = file.Close() }() // only read
	return ReadAll(file)
}

// ReadAll ends, whatever the source is: it gives at most one byte more than
// Load takes, which then says that it is too much.
func ReadAll(source io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(source, maxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	return text, nil
}

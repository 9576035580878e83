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
	// pollEvery finds changes that inotify does not report: on network file
	// systems, in directories that did not exist when the watch began, and where
	// no inotify instance is left.
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

// Reread makes Run emit the content of the file once more, changed or not.
func (f *File) Reread() {
	select {
	case f.again <- struct{}{}:
	default: // a reread is pending already
	}
}

// Run calls emit with the file's content, at once and after each change, from
// one goroutine. It never emits the same content twice in a row, except after
// Reread. If the file cannot be read, it emits the error, once for each
// different error, and keeps watching. A slow edit in place may be emitted in
// part first; the whole follows. Run blocks until the context ends and then
// returns nil. It fails only if a relative path cannot be made absolute.
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

// watch is the state of one Run.
type watch struct {
	path    string
	emit    func(text []byte, err error)
	watcher *fsnotify.Watcher // nil, like its channels: only the poll reads the file
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

// look reads the file and emits its content if that is new. It watches the
// directories first, so that no change after the reading is missed.
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

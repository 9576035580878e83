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
	// settle is the time from the first event of a change to the reading of the file:
	// the truncate and the write of an editor are two events.
	settle = 5 * time.Millisecond
	// pollEvery is the interval of reads that find changes without an inotify event:
	// on network file systems, in directories that did not exist when the watch began,
	// and on hosts without a free inotify instance.
	pollEvery = time.Second
	// maxLinks is the maximum number of symlinks in a path; Linux has the same limit.
	maxLinks = 40
)

// File reads a config file again whenever it changes: after an edit in place, after
// a rename that replaces it, and after a change of a symlink in its path, as the
// kubelet does it for a mounted ConfigMap.
type File struct {
	path   string
	poll   time.Duration
	notify func() (*fsnotify.Watcher, error)
	again  chan struct{}
}

// NewFile makes a File for a path. The file need not exist yet.
func NewFile(path string) *File {
	return &File{path: path, poll: pollEvery, notify: fsnotify.NewWatcher, again: make(chan struct{}, 1)}
}

// Reread makes Run emit the content of the file once more, even without a change.
func (f *File) Reread() {
	select {
	case f.again <- struct{}{}:
	default: // a reread is pending already
	}
}

// Run calls emit from one goroutine with the file's content, at once and after each
// change. It never emits the same content twice in a row, except after Reread. If
// the file cannot be read, it emits the error once, and emits again only a different
// error or a content. During a slow edit in place it may first emit a part of the
// new content; it emits the whole content later. Run blocks until the context ends
// and then returns nil. Its only error is a relative path that cannot be made
// absolute.
func (f *File) Run(ctx context.Context, emit func(text []byte, err error)) error {
	path, err := filepath.Abs(f.path)
	if err != nil {
		return fmt.Errorf("watch %s: %w", f.path, err)
	}
	w := &watch{path: path, emit: emit}
	if watcher, err := f.notify(); err != nil {
		slog.Warn("config file is not watched, reading it at intervals (fs.inotify.max_user_instances may be too low)", "path", path, "every", f.poll, "error", err)
	} else {
		defer func() { _ = watcher.Close() }() // an error of Close changes nothing here
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
	text    []byte // the last content that was emitted; counts if failure is ""
	failure string // the last error that was emitted, or ""
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

// look reads the file and emits its content if that is new. It first updates the
// watched directories, so that a change after the read causes an event.
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

// follow watches the directories of the file and of all symlinks in its path. It
// watches directories and not the file, because a watch on the file ends when a
// rename replaces the file. The poll covers directories that cannot be watched.
func (w *watch) follow() {
	wanted := map[string]bool{}
	collectDirs(w.path, wanted, maxLinks)
	for _, dir := range w.watcher.WatchList() {
		if !wanted[dir] {
			_ = w.watcher.Remove(dir) // it fails if the kernel has already removed the watch
		}
		delete(wanted, dir)
	}
	for dir := range wanted {
		_ = w.watcher.Add(dir)
	}
}

// collectDirs adds the directory of a path and, if the path or a directory on
// it is a symlink, the directories of its target. The kubelet makes the symlinks
// migration.yaml -> ..data/migration.yaml and ..data -> ..2024; the directories are
// then the mount and ..2024.
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

// readFile reads a config file. It refuses other files than regular ones, because a
// pipe would block for ever.
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
	defer func() { _ = file.Close() }() // the file is only read
	return ReadAll(file)
}

// ReadAll reads a config from a source of any length. It reads at most one byte more
// than Load accepts; Load then reports that the text is too long.
func ReadAll(source io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(source, maxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	return text, nil
}

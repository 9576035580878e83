package config

import (
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// EventsOnly turns the poll off, so that only events lead to a read.
func (f *File) EventsOnly() *File {
	f.poll = time.Hour
	return f
}

// WithoutInotify simulates a host without a free inotify instance.
func (f *File) WithoutInotify() *File {
	f.notify = func() (*fsnotify.Watcher, error) { return nil, syscall.EMFILE }
	f.poll = 10 * time.Millisecond
	return f
}

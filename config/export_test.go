package config

import (
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// EventsOnly turns the poll off, so that a missed event is a missed change.
func (f *File) EventsOnly() *File {
	f.poll = time.Hour
	return f
}

// WithoutInotify is what happens where all its instances are in use.
func (f *File) WithoutInotify() *File {
	f.notify = func() (*fsnotify.Watcher, error) { return nil, syscall.EMFILE }
	f.poll = 10 * time.Millisecond
	return f
}

package config

import "time"

// EventsOnly turns the poll off, so that a missed event is a missed change.
func (f *File) EventsOnly() *File {
	f.poll = time.Hour
	return f
}

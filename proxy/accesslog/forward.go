package accesslog

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"time"
)

// flushTimeout is how long the writer has for the queued lines when the
// Forwarder ends.
const flushTimeout = time.Second

// Forwarder passes lines on, unchanged, and never makes its caller wait: when
// the writer is too slow, it drops chunks and counts their lines.
type Forwarder struct {
	writer   io.Writer
	queue    chan []byte
	counters *Counters
	failed   bool // a write has failed
	log      *slog.Logger
}

// NewForwarder makes a Forwarder that writes to w. At most the given number of
// chunks, 256 KB each as Tail reads them, wait for it.
func NewForwarder(w io.Writer, chunks int, counters *Counters, log *slog.Logger) *Forwarder {
	return &Forwarder{writer: w, queue: make(chan []byte, chunks), counters: counters, log: log}
}

// Forward queues a copy of whole lines, or drops them when the queue is full.
// It never blocks.
func (f *Forwarder) Forward(lines []byte) {
	if len(f.queue) == cap(f.queue) { // saves the copy; the select decides
		f.drop(lines)
		return
	}
	select {
	case f.queue <- bytes.Clone(lines):
	default:
		f.drop(lines)
	}
}

func (f *Forwarder) drop(lines []byte) {
	f.counters.AddNotForwarded(bytes.Count(lines, []byte{'\n'}))
}

// Run writes until ctx ends and the queued lines are written, or the writer
// has not taken them within a second.
func (f *Forwarder) Run(ctx context.Context) {
	written := make(chan struct{})
	go func() {
		defer close(written)
		f.writeUntil(ctx)
	}()
	<-ctx.Done()
	select {
	case <-written:
	case <-time.After(flushTimeout): // a write(2) that blocks cannot be canceled
		f.log.Warn("last lines of the access log not written in time")
	}
}

func (f *Forwarder) writeUntil(ctx context.Context) {
	for {
		select {
		case lines := <-f.queue:
			f.write(lines)
		case <-ctx.Done():
			f.writeQueued()
			return
		}
	}
}

func (f *Forwarder) writeQueued() {
	for {
		select {
		case lines := <-f.queue:
			f.write(lines)
		default:
			return
		}
	}
}

// write logs only the first error: a closed pipe would otherwise fill the
// program's own log with one message per chunk.
func (f *Forwarder) write(lines []byte) {
	n, err := f.writer.Write(lines)
	if err == nil {
		return
	}
	if !f.failed {
		f.failed = true
		f.log.Error("access log not written, lines are dropped and counted", "error", err)
	}
	f.drop(lines[max(n, 0):])
}

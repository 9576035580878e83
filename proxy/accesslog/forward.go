package accesslog

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"sync/atomic"
	"time"
)

// farewell is how long a writer gets, once the Forwarder is told to stop, to
// take what is still queued.
const farewell = time.Second

// Forwarder passes lines on, unchanged, without ever making its caller wait:
// when the writer is too slow, chunks are dropped and their lines counted.
type Forwarder struct {
	writer  io.Writer
	queue   chan []byte
	dropped atomic.Uint64
	log     *slog.Logger
}

// NewForwarder writes to w; at most chunks (256 KB each, as Tail reads them)
// wait for it.
func NewForwarder(w io.Writer, chunks int, log *slog.Logger) *Forwarder {
	return &Forwarder{writer: w, queue: make(chan []byte, chunks), log: log}
}

// Forward queues a copy of whole lines, or drops them when the queue is full.
// It never blocks.
func (f *Forwarder) Forward(lines []byte) {
	if len(f.queue) == cap(f.queue) { // spares the copy; the select is what decides
		f.drop(lines)
		return
	}
	select {
	case f.queue <- bytes.Clone(lines):
	default:
		f.drop(lines)
	}
}

// Dropped counts the lines that were not written.
func (f *Forwarder) Dropped() uint64 { return f.dropped.Load() }

func (f *Forwarder) drop(lines []byte) {
	f.dropped.Add(uint64(bytes.Count(lines, []byte{'\n'})))
}

// Run writes until ctx ends and what was queued by then is written, or the
// writer has not taken it within a second.
func (f *Forwarder) Run(ctx context.Context) {
	written := make(chan struct{})
	go func() {
		defer close(written)
		f.writeUntil(ctx)
	}()
	<-ctx.Done()
	select {
	case <-written:
	case <-time.After(farewell): // a write(2) that blocks cannot be called off
		f.log.Warn("The access log's writer does not take the last lines")
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

// write reports the first failure only: a closed pipe would otherwise fill
// the program's own log with one line per chunk.
func (f *Forwarder) write(lines []byte) {
	n, err := f.writer.Write(lines)
	if err == nil {
		return
	}
	if f.dropped.Load() == 0 {
		f.log.Error("Cannot write the access log, lines are dropped and counted", "error", err)
	}
	f.drop(lines[max(n, 0):])
}

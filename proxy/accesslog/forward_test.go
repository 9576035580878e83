package accesslog

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestForwarderWritesUnchanged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		counters := NewCounters(time.Now())
		f := NewForwarder(&out, 4, counters, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := run(ctx, f)
		chunk := []byte("one\ntwo\n")
		f.Forward(chunk)
		copy(chunk, "overwritten by the next chunk")
		synctest.Wait()
		require.Equal(t, "one\ntwo\n", out.String())
		f.Forward([]byte("last\n"))
		cancel()
		<-done
		require.Equal(t, "one\ntwo\nlast\n", out.String())
		require.Zero(t, counters.Log().Dropped)
	})
}

func TestForwarderDropsForASlowWriter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		unread, pipe := io.Pipe()
		counters := NewCounters(time.Now())
		f := NewForwarder(pipe, 4, counters, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := run(ctx, f)
		start := time.Now()
		f.Forward([]byte("taken by the writer\n"))
		synctest.Wait()
		for range 100 {
			f.Forward([]byte("one\ntwo\n"))
		}
		require.Zero(t, time.Since(start), "the caller never waits")
		require.Equal(t, uint64(96*2), counters.Log().Dropped)
		cancel()
		<-done
		require.Equal(t, flushTimeout, time.Since(start), "nor does the end of the program")
		require.NoError(t, unread.Close())
	})
}

// TestForwarderOnAFullPipe: the same with a real pipe that nobody reads.
func TestForwarderOnAFullPipe(t *testing.T) {
	t.Parallel()
	unread, pipe, err := os.Pipe()
	require.NoError(t, err)
	counters := NewCounters(time.Now())
	f := NewForwarder(pipe, 2, counters, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := run(ctx, f)
	chunk := []byte(strings.Repeat("x\n", chunkSize/2))
	for range 50 {
		f.Forward(chunk)
	}
	require.GreaterOrEqual(t, counters.Log().Dropped, uint64(47*chunkSize/2))
	require.NoError(t, unread.Close()) // the write that waits now fails
	cancel()
	<-done
	require.NoError(t, pipe.Close())
}

func TestForwarderCountsFailedWritesAndLogsOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		counters := NewCounters(time.Now())
		f := NewForwarder(halfWriter{}, 4, counters, slog.New(slog.NewTextHandler(&log, nil)))
		ctx, cancel := context.WithCancel(t.Context())
		done := run(ctx, f)
		for range 3 {
			f.Forward([]byte("one\ntwo\n"))
			synctest.Wait()
		}
		cancel()
		<-done
		require.Equal(t, uint64(3), counters.Log().Dropped)
		require.Equal(t, 1, strings.Count(log.String(), "disk full"))
	})
}

// halfWriter takes half of what it is given.
type halfWriter struct{}

func (halfWriter) Write(p []byte) (int, error) { return len(p) / 2, errors.New("disk full") }

func run(ctx context.Context, f *Forwarder) <-chan struct{} {
	done := make(chan struct{})
	go func() { defer close(done); f.Run(ctx) }()
	return done
}

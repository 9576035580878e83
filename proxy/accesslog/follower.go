package accesslog

import (
	"bytes"
	"errors"
	"io"
	"os"
	"time"
)

// chunkSize is how much is read at once. A line is at most some 40 KB: four
// times nginx's 8 KB request line, and its other fields.
const chunkSize = 256 << 10

// follower reads one open file to its end, again and again, and gives out
// whole lines only.
type follower struct {
	file   *os.File
	offset int64     // read up to here
	buffer []byte    // chunkSize, made when there is something to read
	kept   int       // bytes of an unfinished line at the buffer's beginning
	grew   time.Time // when there was last something to read
}

// drain consumes what was added since the last time.
func (f *follower) drain(consume func([]byte, time.Time), now time.Time) error {
	if err := f.restartWhenShrunk(); err != nil {
		return err
	}
	if f.buffer == nil {
		f.buffer = make([]byte, chunkSize)
	}
	for {
		n, err := f.file.ReadAt(f.buffer[f.kept:], f.offset)
		f.take(n, consume, now)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// take consumes the whole lines among n new bytes and keeps the rest. What
// fills the buffer without a line break is no log line: it is consumed as it
// stands, and counted as not understood.
func (f *follower) take(n int, consume func([]byte, time.Time), now time.Time) {
	if n == 0 {
		return
	}
	f.offset += int64(n)
	f.grew = now
	filled := f.buffer[:f.kept+n]
	end := bytes.LastIndexByte(filled, '\n') + 1
	if end == 0 && len(filled) == len(f.buffer) {
		end = len(filled)
	}
	if end > 0 {
		consume(filled[:end], now)
	}
	f.kept = copy(f.buffer, filled[end:])
}

func (f *follower) restartWhenShrunk() error {
	size, err := f.size()
	if err == nil && size < f.offset {
		f.offset, f.kept = 0, 0
	}
	return err
}

func (f *follower) size() (int64, error) {
	info, err := f.file.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// isAt tells whether the open file is the one that path names.
func (f *follower) isAt(path string) bool {
	mine, err := f.file.Stat()
	if err != nil {
		return false
	}
	other, err := os.Stat(path)
	return err == nil && os.SameFile(mine, other)
}

func (f *follower) close() { _ = f.file.Close() }

package accesslog

import (
	"bytes"
	"errors"
	"io"
	"os"
	"time"
)

// chunkSize is how many bytes are read at once. A line has at most about 40
// KB: four times nginx's 8 KB request line, and its other fields.
const chunkSize = 256 << 10

// follower reads one open file to its end, again and again, and passes on
// whole lines only.
type follower struct {
	file   *os.File
	offset int64     // everything before it was read
	buffer []byte    // of chunkSize; nil until the first drain
	kept   int       // length of the unfinished line at the buffer's beginning
	grew   time.Time // when the file last had something to read
}

// drain consumes what was added since the last call.
func (f *follower) drain(consumer LineConsumer, now time.Time) error {
	if err := f.restartWhenShrunk(); err != nil {
		return err
	}
	if f.buffer == nil {
		f.buffer = make([]byte, chunkSize)
	}
	for {
		n, err := f.file.ReadAt(f.buffer[f.kept:], f.offset)
		f.take(n, consumer, now)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// take consumes the whole lines among n new bytes and keeps the rest. Bytes
// that fill the buffer without a line break are no log line: they are consumed
// as they are, and counted as not understood.
func (f *follower) take(n int, consumer LineConsumer, now time.Time) {
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
		consumer.Consume(filled[:end], now)
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

// isAt reports whether the path names the open file.
func (f *follower) isAt(path string) bool {
	open, err := f.file.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(path)
	return err == nil && os.SameFile(open, named)
}

func (f *follower) close() { _ = f.file.Close() }

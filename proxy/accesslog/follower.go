package accesslog

import (
	"bytes"
	"errors"
	"io"
	"os"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/linux"
)

const (
	// chunkSize is how many bytes are read at once. nginxgen bounds a line to about 8 KB.
	chunkSize = 256 << 10
	// maxBacklog is how many bytes may wait to be read. Beyond it, lines are only counted:
	// the log must not fill the disk that everything else is on.
	maxBacklog = 32 << 20
	// keptBytes stay in the file after they were read, for people who look at it. What is
	// before them is given back to the disk.
	keptBytes = 8 << 20
)

// follower reads one open file to its end, again and again, and passes on
// whole lines only.
type follower struct {
	file   *os.File
	offset int64     // everything before it was read
	buffer []byte    // of chunkSize; nil until the first drain
	kept   int       // length of the unfinished line at the buffer's beginning
	grew   time.Time // when the file last had something to read
	freed  int64     // everything before it was given back to the disk
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
		if err := f.shed(consumer); err != nil {
			return err
		}
		n, err := f.file.ReadAt(f.buffer[f.kept:], f.offset)
		f.take(n, consumer, now)
		f.free()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// shed skips half of what waits if it is too much, and only counts its lines.
func (f *follower) shed(consumer LineConsumer) error {
	size, err := f.size()
	if err != nil || size-f.offset <= maxBacklog {
		return err
	}
	lines := 0
	for size-f.offset > maxBacklog/2 {
		n, err := f.file.ReadAt(f.buffer, f.offset)
		lines += bytes.Count(f.buffer[:n], []byte{'\n'})
		f.offset += int64(n)
		if err != nil {
			return err
		}
	}
	n, err := f.file.ReadAt(f.buffer, f.offset) // the rest of a line that was cut
	if end := bytes.IndexByte(f.buffer[:n], '\n'); end >= 0 {
		f.offset += int64(end) + 1
		lines++
	}
	f.kept = 0
	consumer.Shed(lines)
	f.free()
	return err
}

// free gives what was read back to the disk, in steps of a chunk. Where the file system
// cannot do that, the file is only rotated.
func (f *follower) free() {
	upTo := f.offset - keptBytes
	if upTo-f.freed < chunkSize {
		return
	}
	if linux.PunchHole(f.file, f.freed, upTo-f.freed) == nil {
		f.freed = upTo
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
		f.offset, f.kept, f.freed = 0, 0, 0
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

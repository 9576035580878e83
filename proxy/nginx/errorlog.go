package nginx

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/beat"
)

const (
	maxLogSize      = 1 << 20 // bytes, after which error.log is truncated
	maxUnread       = 8 << 20 // bytes, after which the rest is not read
	maxLoggedLines  = 200     // at a time
	maxSevereErrors = 20
)

// readInterval is the maximum delay of failures that only this log shows. A
// read of a log that has not grown takes some microseconds.
const readInterval = 100 * time.Millisecond

// errorLog reads what nginx writes to its error log. The log is a file and not
// a pipe, so that nginx never waits for the reader.
type errorLog struct {
	path string
	log  *slog.Logger

	mu       sync.Mutex
	observer LogObserver // nil: none
	offset   int64
	severe   Problems // emerg and alert lines since clear
}

// run reads until ctx ends.
func (e *errorLog) run(ctx context.Context) {
	for {
		select {
		case <-beat.After(readInterval):
			e.read()
		case <-ctx.Done():
			e.read()
			return
		}
	}
}

func (e *errorLog) observe(observer LogObserver) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.observer = observer
}

// skipExisting leaves out what a predecessor has read.
func (e *errorLog) skipExisting() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if info, err := os.Stat(e.path); err == nil {
		e.offset = info.Size()
	}
}

// clear drops the severe errors so far.
func (e *errorLog) clear() {
	e.read()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.severe = nil
}

// recent returns the severe errors since clear, without time and process id.
func (e *errorLog) recent() Problems {
	e.read()
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.severe)
}

func (e *errorLog) read() {
	e.mu.Lock()
	defer e.mu.Unlock()
	lines := e.newLines()
	for i, line := range lines {
		level, text := parseLine(withoutPatterns(line))
		if e.observer != nil {
			e.observer.NginxLogged(text)
		}
		if i < maxLoggedLines {
			e.logLine(level, text)
		}
	}
	if more := len(lines) - maxLoggedLines; more > 0 {
		e.log.Warn("nginx logged more errors than are shown here", "not_shown", more)
	}
}

// newLines returns the complete lines that were appended since the last call.
func (e *errorLog) newLines() []string {
	if info, err := os.Stat(e.path); err != nil || info.Size() == e.offset {
		return nil // nginx creates it at its first start
	}
	file, err := os.OpenFile(e.path, os.O_RDWR, 0)
	if err != nil {
		return nil
	}
	defer file.Close()
	text, err := io.ReadAll(io.NewSectionReader(file, e.offset, maxLogSize))
	end := bytes.LastIndexByte(text, '\n') + 1
	if err != nil || end == 0 {
		return nil
	}
	e.offset += int64(end)
	if info, err := file.Stat(); err == nil && info.Size()-e.offset > maxUnread {
		e.log.Warn("nginx logs errors faster than they are read, some are lost", "bytes", info.Size()-e.offset)
		e.offset = info.Size()
	}
	if e.offset >= maxLogSize {
		_ = file.Truncate(0) // nginx opens it for appending, and goes on at 0
		e.offset = 0
	}
	return strings.Split(strings.TrimRight(string(text[:end]), "\n"), "\n")
}

// parseLine splits "2024/01/01 12:00:00 [warn] 12#12: *3 some text" into
// "warn" and "*3 some text".
func parseLine(line string) (level, text string) {
	if match := linePrefix.FindStringSubmatchIndex(line); match != nil {
		return line[match[2]:match[3]], line[match[1]:]
	}
	return "error", line
}

func (e *errorLog) logLine(level, text string) {
	switch level {
	case "emerg", "alert":
		e.addSevere("[" + level + "] " + text)
		fallthrough
	case "crit", "error":
		e.log.Error("nginx", "level", level, "text", text)
	case "warn":
		e.log.Warn("nginx", "text", text)
	default:
		e.log.Info("nginx", "text", text)
	}
}

// addSevere keeps each line once: nginx repeats some of them five times.
func (e *errorLog) addSevere(line string) {
	if len(e.severe) < maxSevereErrors && !slices.Contains(e.severe, line) {
		e.severe = append(e.severe, line)
	}
}

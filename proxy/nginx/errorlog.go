package nginx

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	mostLog   = 1 << 20 // bytes kept in error.log
	mostLines = 200     // lines passed on at a time
	mostGrave = 20      // lines remembered for an error
)

// readEvery is how late a failure may be heard of that only this log tells.
// One look, at a log that has not grown, costs some microseconds.
const readEvery = 100 * time.Millisecond

// errorLog passes on what nginx writes to its error log. It is a file and no
// pipe, so that nginx never waits for us; it is cut when it has grown.
type errorLog struct {
	path string
	log  *slog.Logger

	mu       sync.Mutex
	observer LogObserver // nil: none
	offset   int64
	grave    Problems // since forget
}

// run passes lines on until ctx ends.
func (e *errorLog) run(ctx context.Context) {
	tick := time.NewTicker(readEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
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

// skip leaves out what is there already.
func (e *errorLog) skip() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if info, err := os.Stat(e.path); err == nil {
		e.offset = info.Size()
	}
}

// forget begins anew to collect grave lines.
func (e *errorLog) forget() {
	e.read()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.grave = nil
}

// complaints gives the grave lines since forget, without time and process id.
func (e *errorLog) complaints() Problems {
	e.read()
	e.mu.Lock()
	defer e.mu.Unlock()
	return append(Problems(nil), e.grave...)
}

func (e *errorLog) read() {
	e.mu.Lock()
	defer e.mu.Unlock()
	lines := e.fresh()
	for i, line := range lines {
		level, text := split(line)
		if e.observer != nil {
			e.observer.NginxLogged(text)
		}
		if i < mostLines {
			e.pass(level, text)
		}
	}
	if more := len(lines) - mostLines; more > 0 {
		e.log.Warn("nginx says more than is passed on", "lines", more)
	}
}

// fresh gives the complete lines that were appended.
func (e *errorLog) fresh() []string {
	file, err := os.OpenFile(e.path, os.O_RDWR, 0)
	if err != nil {
		return nil // not there before the first start
	}
	defer file.Close()
	text, err := io.ReadAll(io.NewSectionReader(file, e.offset, mostLog))
	end := bytes.LastIndexByte(text, '\n') + 1
	if err != nil || end == 0 {
		return nil
	}
	e.offset += int64(end)
	if e.offset >= mostLog {
		_ = file.Truncate(0) // nginx appends
		e.offset = 0
	}
	return strings.Split(strings.TrimRight(string(text[:end]), "\n"), "\n")
}

// split parts "2024/01/01 12:00:00 [warn] 12#12: *3 half a line".
func split(line string) (level, text string) {
	if found := speech.FindStringSubmatchIndex(line); found != nil {
		return line[found[2]:found[3]], line[found[1]:]
	}
	return "error", line
}

func (e *errorLog) pass(level, text string) {
	switch level {
	case "emerg", "alert":
		e.remember("[" + level + "] " + text)
		fallthrough
	case "crit", "error":
		e.log.Error("nginx", "level", level, "text", text)
	case "warn":
		e.log.Warn("nginx", "text", text)
	default:
		e.log.Info("nginx", "text", text)
	}
}

// remember keeps a line once: nginx repeats some of them five times.
func (e *errorLog) remember(line string) {
	for _, known := range e.grave {
		if known == line {
			return
		}
	}
	if len(e.grave) < mostGrave {
		e.grave = append(e.grave, line)
	}
}

package sampling

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy/errorlog"
)

// Errors remembers what nginx's error log says about handshakes of the comparison: an
// answer of nginx does not tell them from other failures to connect. The zero value is
// ready; nil remembers nothing.
type Errors struct {
	mu   sync.Mutex
	last []handshakeError
}

type handshakeError struct {
	path, message string
	at            time.Time
}

const (
	maxErrors = 32
	// errorWait is longer than the time until a line of the log is read.
	errorWait = 300 * time.Millisecond
)

// Observe takes a line of nginx's error log.
func (e *Errors) Observe(line string, now time.Time) {
	c, ok := errorlog.Parse(line)
	if !ok || !c.Compared || c.Stage != errorlog.Handshake {
		return
	}
	message, _, _ := strings.Cut(c.Message, " while ")
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last = append(e.last, handshakeError{c.Path, message, now})
	e.last = e.last[max(len(e.last)-maxErrors, 0):]
}

// handshake waits a moment for the message about a request that was sent at began.
func (e *Errors) handshake(ctx context.Context, target string, began time.Time) string {
	if e == nil {
		return ""
	}
	raw, _, _ := strings.Cut(target, "?")
	path, _ := migration.NormalizePath(raw)
	for waited := time.Duration(0); waited < errorWait; waited += 10 * time.Millisecond {
		if message := e.find(path, began); message != "" {
			return message
		}
		select {
		case <-ctx.Done():
			return ""
		case <-time.After(10 * time.Millisecond):
		}
	}
	return ""
}

func (e *Errors) find(path string, since time.Time) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := len(e.last) - 1; i >= 0; i-- {
		if e.last[i].path == path && !e.last[i].at.Before(since) {
			return e.last[i].message
		}
	}
	return ""
}

package logging

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// defaultComponent is the component of a record that has no attribute
// ComponentKey.
const defaultComponent = "migration_controller"

// textHandler writes the text format of this package. slog's own text handler
// formats the attributes, with its rules for quoting and groups.
type textHandler struct {
	output    *output
	attrs     slog.Handler // writes to output.attrs
	component string
}

// output is shared by a handler and the handlers that are derived from it.
type output struct {
	mu    sync.Mutex
	w     io.Writer
	attrs bytes.Buffer // the attributes of the record that is being written
}

func newTextHandler(w io.Writer, level slog.Level) *textHandler {
	out := &output{w: w}
	attrs := slog.NewTextHandler(&out.attrs, &slog.HandlerOptions{Level: level, ReplaceAttr: dropPrinted})
	return &textHandler{output: out, attrs: attrs, component: defaultComponent}
}

// dropPrinted drops the attributes that the beginning of the line has already.
func dropPrinted(groups []string, attr slog.Attr) slog.Attr {
	switch attr.Key {
	case slog.TimeKey, slog.LevelKey, slog.MessageKey, ComponentKey:
		if len(groups) == 0 {
			return slog.Attr{}
		}
	}
	return attr
}

// Enabled reports whether records of the level are written.
func (h *textHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.attrs.Enabled(ctx, level)
}

// Handle writes one line with one Write.
func (h *textHandler) Handle(ctx context.Context, record slog.Record) error {
	component := h.component
	record.Attrs(func(attr slog.Attr) bool {
		if attr.Key == ComponentKey {
			component = attr.Value.String()
		}
		return true
	})
	h.output.mu.Lock()
	defer h.output.mu.Unlock()
	h.output.attrs.Reset()
	if err := h.attrs.Handle(ctx, record); err != nil {
		return err
	}
	line := fmt.Sprintf("%s - %s - %s - %s", record.Time.Format(time.DateTime), component,
		levelName(record.Level), strings.ReplaceAll(record.Message, "\n", " "))
	if attrs := strings.TrimSpace(h.output.attrs.String()); attrs != "" {
		line += " " + attrs
	}
	_, err := io.WriteString(h.output.w, line+"\n")
	return err
}

// levelName is slog's name, with WARNING for WARN: log readers of the format
// expect that word.
func levelName(level slog.Level) string {
	return strings.Replace(level.String(), "WARN", "WARNING", 1)
}

// WithAttrs returns a handler that adds the attributes to each line.
func (h *textHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	derived := *h
	derived.attrs = h.attrs.WithAttrs(attrs)
	for _, attr := range attrs {
		if attr.Key == ComponentKey {
			derived.component = attr.Value.String()
		}
	}
	return &derived
}

// WithGroup returns a handler that puts the attributes that follow into a
// group.
func (h *textHandler) WithGroup(name string) slog.Handler {
	derived := *h
	derived.attrs = h.attrs.WithGroup(name)
	return &derived
}

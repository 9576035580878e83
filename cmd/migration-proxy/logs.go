package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
)

const (
	// componentKey is the attribute that says which part of the program speaks.
	componentKey = "component"
	// mainComponent speaks where no attribute says otherwise.
	mainComponent = "migration_controller"
)

// logOptions are the flags of programs that log.
type logOptions struct {
	format, levelText string
	level             slog.Level // by check
}

func (o *logOptions) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&o.format, "log-format", "text", "text or json, on standard error")
	flags.StringVar(&o.levelText, "log-level", "info", "debug, info, warn or error")
	environmentOf(flags, "log-format", "log-level")
	completeWords(cmd, "log-format", "text", "json")
	completeWords(cmd, "log-level", "debug", "info", "warn", "error")
}

func (o *logOptions) check() error {
	if err := oneOf("log-format", o.format, "text", "json"); err != nil {
		return err
	}
	if err := o.level.UnmarshalText([]byte(o.levelText)); err != nil {
		return wrongUsage("--log-level %q: use debug, info, warn or error", o.levelText)
	}
	return nil
}

func (o *logOptions) logger(w io.Writer) *slog.Logger { return newLogger(w, o.format, o.level) }

// newLogger writes one line per record; format is text or json.
func newLogger(w io.Writer, format string, level slog.Level) *slog.Logger {
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
	}
	return slog.New(newLineHandler(w, level))
}

// lineHandler writes
//
//	2024-01-01 12:00:00 - migration_controller - INFO - Configuration changed key=value
//
// in local time. The component is an attribute. The attributes besides are
// slog's own text, so that quoting and groups are its business.
type lineHandler struct {
	shared    *sink
	attrs     slog.Handler // writes into shared.attrs
	component string
}

// sink is what a handler shares with those that were made of it.
type sink struct {
	mu    sync.Mutex
	w     io.Writer
	attrs bytes.Buffer
}

func newLineHandler(w io.Writer, level slog.Level) *lineHandler {
	shared := &sink{w: w}
	attrs := slog.NewTextHandler(&shared.attrs, &slog.HandlerOptions{Level: level, ReplaceAttr: dropHead})
	return &lineHandler{shared: shared, attrs: attrs, component: mainComponent}
}

// dropHead leaves out what stands at the head of the line already.
func dropHead(groups []string, attr slog.Attr) slog.Attr {
	switch attr.Key {
	case slog.TimeKey, slog.LevelKey, slog.MessageKey, componentKey:
		if len(groups) == 0 {
			return slog.Attr{}
		}
	}
	return attr
}

// Enabled tells whether the level is asked for.
func (h *lineHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.attrs.Enabled(ctx, level)
}

// Handle writes one line with one Write.
func (h *lineHandler) Handle(ctx context.Context, record slog.Record) error {
	component := h.component
	record.Attrs(func(attr slog.Attr) bool {
		if attr.Key == componentKey {
			component = attr.Value.String()
		}
		return true
	})
	h.shared.mu.Lock()
	defer h.shared.mu.Unlock()
	h.shared.attrs.Reset()
	if err := h.attrs.Handle(ctx, record); err != nil {
		return err
	}
	line := fmt.Sprintf("%s - %s - %s - %s", record.Time.Format(time.DateTime), component,
		levelName(record.Level), strings.ReplaceAll(record.Message, "\n", " "))
	if attrs := strings.TrimSpace(h.shared.attrs.String()); attrs != "" {
		line += " " + attrs
	}
	_, err := io.WriteString(h.shared.w, line+"\n")
	return err
}

// levelName says WARNING, as the line's other readers know it.
func levelName(level slog.Level) string {
	return strings.Replace(level.String(), "WARN", "WARNING", 1)
}

// WithAttrs keeps the attributes for all lines of the new handler.
func (h *lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	with.attrs = h.attrs.WithAttrs(attrs)
	for _, attr := range attrs {
		if attr.Key == componentKey {
			with.component = attr.Value.String()
		}
	}
	return &with
}

// WithGroup opens a group for the attributes that follow.
func (h *lineHandler) WithGroup(name string) slog.Handler {
	with := *h
	with.attrs = h.attrs.WithGroup(name)
	return &with
}

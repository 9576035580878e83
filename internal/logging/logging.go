package logging

import (
	"io"
	"log/slog"
)

// The formats of a logger.
const (
	Text = "text"
	JSON = "json"
)

// ComponentKey is the attribute that names the part of the program that a line
// is from. The text format prints its value before the level.
const ComponentKey = "component"

// New makes a logger that writes records of at least the level to w. A format
// other than JSON is Text.
func New(w io.Writer, format string, level slog.Level) *slog.Logger {
	if format == JSON {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
	}
	return slog.New(newTextHandler(w, level))
}

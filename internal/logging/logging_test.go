package logging

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTextFormat(t *testing.T) {
	t.Parallel()
	now := time.Date(2024, 1, 1, 12, 0, 0, 999, time.UTC)
	cases := map[string]struct {
		log  func(*slog.Logger)
		want string
	}{
		"message without attributes": {
			func(l *slog.Logger) { l.Info("Configuration changed, updating components...") },
			"2024-01-01 12:00:00 - migration_controller - INFO - Configuration changed, updating components...\n",
		},
		"attributes": {
			func(l *slog.Logger) { l.Warn("careful", "service", "api", "error", errors.New("no such host")) },
			"2024-01-01 12:00:00 - migration_controller - WARNING - careful service=api error=\"no such host\"\n",
		},
		"component of a record": {
			func(l *slog.Logger) { l.Error("gone", "component", "nginx", "pid", 1) },
			"2024-01-01 12:00:00 - nginx - ERROR - gone pid=1\n",
		},
		"component of a logger": {
			func(l *slog.Logger) { l.With("component", "dns", "n", 1).Info("asked") },
			"2024-01-01 12:00:00 - dns - INFO - asked n=1\n",
		},
		"groups": {
			func(l *slog.Logger) { l.WithGroup("g").Info("in it", "level", 1, "msg", "m") },
			"2024-01-01 12:00:00 - migration_controller - INFO - in it g.level=1 g.msg=m\n",
		},
		"line breaks": {
			func(l *slog.Logger) { l.Info("first\nsecond", "text", "a\nb") },
			"2024-01-01 12:00:00 - migration_controller - INFO - first second text=\"a\\nb\"\n",
		},
		"below the level": {func(l *slog.Logger) { l.Debug("quiet") }, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			c.log(slog.New(fixedTime{newTextHandler(&out, slog.LevelInfo), now}))
			require.Equal(t, c.want, out.String())
		})
	}
}

func TestJSONFormat(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	New(&out, "json", slog.LevelInfo).Info("hello", "n", 1)
	var line map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &line))
	require.Equal(t, "hello", line["msg"])
	require.InDelta(t, 1, line["n"], 0)
}

// fixedTime gives all records the same time.
type fixedTime struct {
	slog.Handler
	now time.Time
}

func (h fixedTime) Handle(ctx context.Context, record slog.Record) error {
	record.Time = h.now
	return h.Handler.Handle(ctx, record)
}

func (h fixedTime) WithAttrs(attrs []slog.Attr) slog.Handler {
	return fixedTime{h.Handler.WithAttrs(attrs), h.now}
}

func (h fixedTime) WithGroup(name string) slog.Handler {
	return fixedTime{h.Handler.WithGroup(name), h.now}
}

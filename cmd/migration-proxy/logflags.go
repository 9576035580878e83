package main

import (
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/migration-proxy/migration-proxy/internal/logging"
)

// logOptions are the flags of the commands that write a log.
type logOptions struct {
	format, levelText string
	level             slog.Level // set by check
}

func (o *logOptions) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&o.format, "log-format", logging.Text, "text or json, on standard error")
	flags.StringVar(&o.levelText, "log-level", "info", "debug, info, warn or error")
	environmentOf(flags, "log-format", "log-level")
	completeWords(cmd, "log-format", logging.Text, logging.JSON)
	completeWords(cmd, "log-level", "debug", "info", "warn", "error")
}

func (o *logOptions) check() error {
	if err := oneOf("log-format", o.format, logging.Text, logging.JSON); err != nil {
		return err
	}
	if err := o.level.UnmarshalText([]byte(o.levelText)); err != nil {
		return wrongUsage("--log-level %q: use debug, info, warn or error", o.levelText)
	}
	return nil
}

func (o *logOptions) logger(w io.Writer) *slog.Logger { return logging.New(w, o.format, o.level) }

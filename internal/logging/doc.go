// Package logging makes the logger of the programs that run for a long time,
// run and webhook.
//
// Takes:
//   - a writer, a format (text or json) and a level
//
// Gives:
//   - a slog.Logger that writes one line for each record, with one Write
//
// The text format is "TIME - COMPONENT - LEVEL - MESSAGE KEY=VALUE...", in
// local time:
//
//	2024-01-01 12:00:00 - migration_controller - INFO - Configuration changed, updating components... source=c.yaml
package logging

// Command migration-proxy is the composition root: one file per subcommand,
// and the only place that knows every room.
//
// Takes: the command line, MIGRATION_PROXY_... environment variables, and a
// migration config as a file.
// Gives: text on standard output, what is wrong on standard error, and an
// exit code that means the same everywhere: 0 done, 1 what was asked for
// failed, 2 wrong usage.
// Refuses: logic of its own. What decides, generates, serves or measures is a
// room; here it is put together, asked and printed.
//
// Nobody imports it.
package main

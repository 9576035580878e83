// Command migration-proxy has one file per command: its flags, the check of its
// arguments, and one call of the package that does what the command is for.
//
// Takes:
//   - the command line and MIGRATION_PROXY_... environment variables
//
// Gives:
//   - text on standard output, what is wrong on standard error
//   - an exit code: 0 done, 1 failed, 2 wrong usage
//
// Refuses:
//   - a command line that makes no sense, before anything is done
//
// What a command does is in proxy/dataplane (run), internal/manager (webhook),
// internal/demo (demo) and internal/cli/... (all others).
package main

// Package nginx runs one nginx: it finds the binary, tests configs with it,
// keeps it running, reloads it, and reads back which config it serves.
//
// Takes:
//   - the path of an nginx binary, version 1.19.5 or newer
//   - the directory that nginx writes to
//
// Gives:
//   - a Supervisor, whose master runs or is about to be started
//   - nginx's own error lines, when a config or a start fails
//
// Refuses:
//   - to signal a process that may not be its own nginx. A process id is only
//     a number that the kernel uses again, so the process is pinned by a pidfd
//     before it is inspected.
//
// Of the directory it knows these files:
//
//	current/nginx.conf   the config that the master loads
//	nginx.pid            written by nginx ("pid" in the config)
//	old-*                sockets of standby servers, see nginxgen
//	standby.pem/key       their certificate
//	admin.sock           answers GET /digest with the digest of the config
//	error.log            nginx's errors, at start and later
//
// nginx outlives the program that started it, so a crash of the agent costs
// no request; Supervisor.Adopt takes it over. nginx writes to files and never
// to a pipe, because a pipe whose reader has stopped would stop nginx too.
package nginx

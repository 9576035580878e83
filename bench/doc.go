// Command bench measures the proxy from outside: it builds migration-proxy, runs
// it beside hand-written nginx and HAProxy as child processes on the loopback
// interface, loads them with wrk and prints tables. docs/performance.md has a set
// of these tables and says how to read one.
//
// Takes:
//   - the repository, as working directory
//   - nginx, haproxy and wrk in PATH, or where $MIGRATION_PROXY_NGINX, $HAPROXY and $WRK say
//   - valgrind for part instructions, the programs of make controlplane for part admission
//
// Gives:
//   - tables on standard output: medians over rounds in which all candidates take
//     turns, so that ratios are much the same on another machine
//   - nothing else: all files are in one temporary directory, in memory where possible
//
// Refuses:
//   - to print a figure of a run in which a request failed
//   - to run on a Linux without CPU times in nanoseconds (/proc/PID/schedstat)
package main

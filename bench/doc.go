// Command bench measures the proxy from outside: it builds migration-proxy,
// runs it, nginx, HAProxy and wrk as child processes on the loopback interface
// and prints tables (docs/performance.md has a set of them, and says how to
// read one).
//
// Takes: the repository it is started in, nginx, haproxy and wrk
// ($MIGRATION_PROXY_NGINX, $HAPROXY and $WRK name other ones), and for one optional part valgrind.
// Gives: tables on standard output. What is compared is measured in turns
// within one run, and the medians over the rounds are printed: another machine
// or another hour gives other microseconds, but much the same ratios.
// Refuses: to print a figure of a run in which a request failed, and to run
// where Linux does not count CPU time in nanoseconds (/proc/PID/schedstat).
//
// Everything lives in one temporary directory, in memory where there is such
// a place, and is gone when bench ends.
package main

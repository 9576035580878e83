// Package accesslog reads what nginx writes about each request and turns it
// into numbers per service and side.
//
// Takes:
//   - the access log, a regular file in the format that nginxgen configures
//     (Parse shows a line)
//   - the failures of new, which nginx also sends at once (FailureSocket)
//
// Gives:
//   - an Event for each line (Parse), to the observers
//   - the lines themselves, unchanged, to the log collector (Forwarder)
//   - the figures of the last minute for /status (Counters.Fill)
//   - Prometheus metrics (Counters is a Collector)
//
// Refuses:
//   - a line whose fields it does not understand: the error names the field,
//     and the line is counted and still forwarded
//   - to count services outside the table separately: no client can make the
//     metrics grow
//
// Lines flow one way: Tail reads chunks of whole lines, Intake parses and
// counts them and passes them to the Forwarder.
//
// The log is a file because the reader must never delay a request: nginx
// blocks on a FIFO that nobody reads, and a syslog datagram wakes the reader
// for each line. With a file a stopped reader costs disk space, a slow
// collector costs lines, and both are counted.
package accesslog

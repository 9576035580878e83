// Package accesslog reads what nginx writes about each request and turns it
// into numbers: one line per request in, counts per service and side out.
//
// Takes: the access log as a regular file, in the format that nginxgen emits
// (Parse shows a line).
// Gives: an Event per line (Parse), the lines themselves, unchanged, to
// whoever collects logs (Forwarder), the last minute per service for /status
// (Counters.Fill) and Prometheus metrics (Counters is a Collector).
// Refuses: a line whose fields it does not know how to read, with an error
// that names the field; such a line is counted and still forwarded. Services
// outside the table are counted together, so that no client can make the
// metrics grow.
//
// A file, because the reader must never hold up a request: nginx blocks on a
// FIFO that nobody reads, and a syslog datagram costs the reader a wake-up
// per line. Here a stopped reader costs disk, a slow collector costs lines,
// and both are counted.
//
// The flow is one way: Tail reads chunks of whole lines, Intake parses and
// counts them and hands them to the Forwarder. It may be imported by proxy
// and cmd.
package accesslog

// Package testbed has what tests need on the loopback interface: certificates, backends that
// fail on demand and count their requests, clients that send load and count the answers, and a
// log that is read while it is written.
//
// Takes:
//   - options as plain values
//
// Gives:
//   - real sockets, TLS and HTTP
//   - numbers that were counted
//
// Refuses:
//   - to listen on other addresses than 127.0.0.1
//   - to repeat a request: a lost request is reported as lost
//
// It never imports testing, because bench and the demo use it as well.
package testbed

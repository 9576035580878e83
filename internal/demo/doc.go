// Package demo shows a whole migration on one machine: two sample clusters, the
// proxy, and traffic that never stops.
//
// Takes:
//   - the nginx binary, a writer for the text, and how long to watch (Options)
//
// Gives:
//   - a text: each step runs a command of this program as a child process, and
//     then says what the clients of the proxy observed
//   - an error when a claim of the text did not hold
//
// Refuses:
//   - to change anything outside a temporary directory and 127.0.0.1
//   - to hide a lost request: clients count a request that was sent again as a
//     failure
package demo

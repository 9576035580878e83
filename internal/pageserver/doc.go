// Package pageserver serves the page of package page: its HTML, its files, a stream of
// newer states, and the answers of the form of explain.
//
// Takes:
//   - a Source: one proxy, or a cluster with the rights of the user
//   - which Host headers are its own
//
// Gives:
//   - an http.Handler
//
// Refuses:
//   - a Host header that is not its own (421): otherwise a foreign website could read the
//     page by a name that it points at this address (DNS rebinding)
//   - more than 16 streams at the same time
//   - every method but GET and HEAD, and so every change
//   - to ask the source while nobody looks; those who look share one answer
package pageserver

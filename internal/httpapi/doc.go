// Package httpapi is the read-only HTTP interface of a process: /health, /ready
// and /metrics, and /status, /evidence, /history and the page of a proxy replica.
//
// Takes:
//   - functions that report whether the process is alive and ready
//   - for a proxy replica, functions that give its status.Status, status.Evidence and
//     history.Document, and the handler of its page
//   - Prometheus collectors
//
// Gives:
//   - a Server to run on a listener
//   - the metrics that follow from status.Status
//
// Refuses:
//   - every method but GET and HEAD (405): a request changes nothing, so the
//     interface needs no password
package httpapi

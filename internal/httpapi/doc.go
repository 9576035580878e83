// Package api is the read-only HTTP interface of one proxy replica: /health,
// /ready, /metrics and /status.
//
// Takes: functions that tell whether the replica lives and is ready, one that
// gives its status.Status, and Prometheus collectors.
// Gives: a Server to run on a listener, and the metrics that follow from
// status.Status.
// Refuses: every method but GET and HEAD (405): nothing here changes anything,
// and so nothing here needs a password.
//
// It may be imported by cmd only.
package httpapi

// Package proxy is the data plane's hands: it puts a migration.Table in force
// in one supervised nginx, and keeps it in force.
//
// Takes: tables that the caller has read and found valid (Offer), word of
// those that were not (Reject), and the fallback's verdicts (SetFallback).
// Gives: an nginx that serves the newest table that could be put in force, and
// a status.Status that says which one, and what is wrong with a newer one.
// Refuses: to believe. A config is in force when nginx itself has answered
// with its digest, several times in a row; otherwise the one before is put
// back.
//
// What only moves traffic (share, enabled, tripped) is applied at once and
// never reloads nginx; what changes nginx's config is prepared, tested,
// swapped and read back, at most once a second. All of it lives in one
// directory, which is the only thing that is written to:
//
//	lock                       one agent at a time
//	conf/<digest>/nginx.conf   staged configs
//	current -> conf/<digest>   the one that nginx loads
//	serving/<digest>           taken away to make that config's workers drain
//	weights/ shares/           see package weights
//	nginx.pid admin.sock access.log error.log temp/
//
// One goroutine, Run's, owns all state; see owner. Only cmd imports the
// package.
package proxy

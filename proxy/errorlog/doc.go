// Package errorlog reads what nginx's error log alone tells of a backend: that
// an answer broke off after it had begun (the access log then has the status
// that it began with), and why a TLS handshake failed (there it is a failure
// to connect, like any other).
//
// Takes: lines of nginx's error log, without time, level and process id.
// Gives: a Complaint: what happened, in nginx's words and as a
// fallback.Failure, and what is needed to find the service and the side: the
// server's name, which is the service's old_host, the path, and the address
// that was asked.
// Refuses: all that is not exactly one of the forms it knows. A line that is
// not understood is no failure. Clients that leave are not logged at this
// level, and websockets that end or idle are told in other words.
//
// One thing cannot be told apart: a backend that gives up a client because it
// does not read. nginx itself does so after 60 s (send_timeout); a backend that
// is less patient is blamed for it.
//
// Nobody forges a field. nginx writes them without escapes, but client address
// and server name come first, and a request line has two spaces, with the
// upstream right after. Host and Referer come later and are not looked at.
// (nginx before 1.21.1 lets a target have spaces: there a client could name
// another address, for an answer of its own that did break off.) nginx cuts a
// line at 2 KB: a request line of 1.8 KB and more hides its upstream, and is
// not counted.
//
// The package is pure. Only proxy/guard imports it.
package errorlog

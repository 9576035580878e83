// Package errorlog reads what only nginx's error log says about a backend: that
// an answer broke off after it had begun (the access log has the status with
// which it began), and why a TLS handshake failed (the access log has a failure
// to connect, like any other).
//
// Takes:
//   - lines of nginx's error log, without time, level and process ID
//
// Gives:
//   - a Complaint: what happened, as a fallback.Failure and in nginx's words,
//     and what identifies the service and the side: the server name (the
//     service's old_host), the path, and the address of the backend
//
// Refuses:
//   - every line that does not have exactly one of the known forms: it is no
//     failure. Clients that close their connections are logged at another
//     level, and the end of a WebSocket has another message.
//
// One case cannot be distinguished: a backend that ends the answer because the
// client does not read. nginx itself does so after 60 s (send_timeout); a
// backend with a shorter limit is blamed for it.
//
// No client can forge a field. nginx writes the fields without escapes, but
// client address and server name come first, and a request line has two spaces
// and the upstream right after it. Host and Referer come later and are not
// read. (nginx before 1.21.1 accepts spaces in a request target: a client could
// then name another address for an answer that did break off.) nginx cuts a
// line at 2 KB: a request line of 1.8 KB or more hides its upstream and is not
// counted.
package errorlog

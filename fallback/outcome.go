package fallback

import "slices"

// Failure is the way in which a side failed a request.
type Failure string

// The failures.
const (
	NoFailure      Failure = ""
	FailureConnect Failure = "connect" // refused, unreachable, no address, or too slow to accept
	FailureTLS     Failure = "tls"     // the handshake failed; the access log says connect
	FailureTimeout Failure = "timeout"
	FailureReset   Failure = "reset"
	FailureStatus  Failure = "status"
	// FailureRedirect is a redirect to the address that was asked for.
	FailureRedirect Failure = "redirect"
)

// Outcome is how one request to new ended, by new's own behavior: the client
// may have got the answer of old.
type Outcome struct {
	// Finished is true when new was asked and the client waited for it.
	Finished bool
	Failure  Failure
	Status   int // of new's answer, 0 without one
}

// StatusLoopDetected is the status of a request that came back to the proxy.
const StatusLoopDetected = 508

// statusClientClosed is the status that nginx logs when the client closed the
// connection before it got an answer.
const statusClientClosed = 499

// Judge reports whether an outcome counts at all and, if new failed, how.
// OnStatus lists the statuses of new that are failures; any other status is an
// answer, 500 too.
//
//	not finished, 499               does not count: no side failed
//	connect, tls, timeout, reset    failure
//	508                             failure (status): the request came back to the proxy
//	a status in the list            failure (status)
//	any other status                success
func Judge(o Outcome, onStatus []int) (failure Failure, counts bool) {
	switch {
	case !o.Finished || o.Status == statusClientClosed:
		return NoFailure, false
	case o.Failure != NoFailure && o.Failure != FailureStatus:
		return o.Failure, true
	case o.Status == StatusLoopDetected, slices.Contains(onStatus, o.Status):
		return FailureStatus, true
	}
	return NoFailure, true
}

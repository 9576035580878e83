package fallback

import "slices"

// Failure is the way in which new failed a request.
type Failure string

// The failures.
const (
	NoFailure      Failure = ""
	FailureConnect Failure = "connect" // refused, unreachable, no address, too slow to accept
	FailureTLS     Failure = "tls"
	FailureTimeout Failure = "timeout"
	FailureReset   Failure = "reset"
	FailureStatus  Failure = "status"
)

// Outcome is what one request to new came to, by new's own doing and never by
// what the client got.
type Outcome struct {
	// Finished: new was asked and had its chance; the client did not leave.
	Finished bool
	Failure  Failure
	Status   int // new's own, 0 without one
}

// statusClientLeft is what nginx notes for a client that did not wait.
const statusClientLeft = 499

// Judge tells whether an outcome counts at all, and how new failed, if it
// did. OnStatus lists the statuses of new that are failures; any other status
// is an answer, a 500 too.
//
//	not finished, 499               does not count: nobody's failure
//	connect, tls, timeout, reset    failure
//	a status in the list            failure (status)
//	any other status                success
func Judge(o Outcome, onStatus []int) (failure Failure, counts bool) {
	switch {
	case !o.Finished || o.Status == statusClientLeft:
		return NoFailure, false
	case o.Failure != NoFailure && o.Failure != FailureStatus:
		return o.Failure, true
	case slices.Contains(onStatus, o.Status):
		return FailureStatus, true
	}
	return NoFailure, true
}

package accesslog

import (
	"time"

	"github.com/migration-proxy/migration-proxy/migration"
)

// ReasonBucket is the reason of a decision made by the dice or by the hash of
// a user: the line tells the bucket, the table tells which of the two.
const ReasonBucket migration.Code = "bucket"

// ReasonOther stands for a reason this version does not know: a newer config
// generator wrote it.
const ReasonOther migration.Code = "other"

// Event is one request, as its line tells it. Byte slices point into the line
// and live as long as it does.
type Event struct {
	Service   []byte // empty when no service was meant (400, 404, 421)
	RequestID []byte

	Status   int            // what the client got
	Answered migration.Side // whose answer that was; "" when nobody was asked
	Decision migration.Side // who was asked first; "" when nobody
	Reason   migration.Code // why; "" when nobody was asked
	Rule     int            // the rule that spoke, from 0; -1 for none
	Bucket   migration.Bucket

	RequestTime time.Duration
	// New and Old tell how each side did, whatever the client got.
	New, Old Outcome
}

// Rescued tells whether new was asked first and old answered in its place.
// When old failed too, or the client did not wait for it, nobody was rescued.
func (e *Event) Rescued() bool {
	return e.New.Tries > 0 && e.Old.Replied
}

// Outcome is how one side did with one request. It describes the last try on
// that side; only Tries and Latency are about all of them.
type Outcome struct {
	Tries int // 0: the side was not asked
	// Status is the side's own, or 502 and 504 where nginx put them in place
	// of an answer; 0 when the try ended without either.
	Status int
	// Connected tells that a connection, TLS included, was made.
	Connected bool
	// Replied tells that the status is the side's own. Without
	// upstream_header_time in the line every 502 and 504 counts as nginx's.
	Replied bool
	// Latency is the sum over all tries; -1 when the line does not tell.
	Latency time.Duration
}

// Failure is the way in which a side failed a request.
type Failure string

// The failures. Each is judged by the side's own outcome:
//
//	connected  replied  status    failure
//	no         no       502, 504  connect (refused, unreachable, TLS, too slow)
//	yes        no       504       timeout
//	yes        no       502       reset (or an answer that is not HTTP)
//	yes        yes      >= 500    status
//	any        any      0, 499    none: the client left
const (
	NoFailure      Failure = ""
	FailureConnect Failure = "connect"
	FailureTimeout Failure = "timeout"
	FailureReset   Failure = "reset"
	FailureStatus  Failure = "status"
)

// Failure judges the outcome. A service's own list of failing statuses is not
// known here: who has one looks at Status when the answer is FailureStatus or
// NoFailure.
func (o Outcome) Failure() Failure {
	switch {
	case !o.Finished():
		return NoFailure
	case o.Replied && o.Status >= 500:
		return FailureStatus
	case o.Replied:
		return NoFailure
	case !o.Connected:
		return FailureConnect
	case o.Status == 504:
		return FailureTimeout
	}
	return FailureReset
}

// Finished tells whether the side had its chance: it was asked, and the
// client did not leave (499) or break its own request before the answer.
func (o Outcome) Finished() bool {
	return o.Tries > 0 && o.Status != 0 && o.Status != statusClientLeft
}

const statusClientLeft = 499

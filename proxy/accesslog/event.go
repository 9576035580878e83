package accesslog

import (
	"time"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/migration"
)

// ReasonBucket is the reason of a decision by the percentage or by the hash of
// a user. The line has the bucket; the table says which of the two it was.
const ReasonBucket migration.Code = "bucket"

// ReasonOther stands for a reason that this version does not know, because a
// newer config generator wrote it.
const ReasonOther migration.Code = "other"

// Event is one request as its log line describes it. Byte slices point into
// the line and are valid as long as it is.
type Event struct {
	Service   []byte // empty when the request belongs to no service (400, 404, 421), or nginx did not choose one (413)
	RequestID []byte
	// Method, Host and Target are what the client sent, as nginx escapes them.
	Method, Host, Target []byte

	Status   int            // of the answer that the client got
	Answered migration.Side // the side that gave it; "" when no side was asked, as by a hit of the cache
	Decision migration.Side // the side that was asked first; "" for none
	Reason   migration.Code // of the decision; "" when no side was asked
	Rule     int            // the rule that decided, from 0; -1 for none
	Bucket   migration.Bucket

	// Logged is when nginx wrote the line, as the line has it, such as
	// 01/Jan/2024:12:00:00 +0000.
	Logged      []byte
	RequestTime time.Duration
	Cached      Cached
	// Stream says that the client asked for an event stream.
	Stream bool
	// New and Old describe what each side did, whatever the client got.
	New, Old Upstream
}

// Rescued reports whether new was asked first and old answered in its place.
// It is false when old failed too, or when the client did not wait for old.
func (e *Event) Rescued() bool {
	return e.New.Tries > 0 && e.Old.Replied
}

// Compared reports whether no client sent the request, but the agent, to compare both
// sides. Such requests count nowhere.
func (e *Event) Compared() bool { return e.Reason == migration.ReasonCompare }

// Upstream is what one side did with one request. It describes the last try on
// that side; only Tries and Latency cover all tries.
type Upstream struct {
	Tries int // 0: the side was not asked
	// Status is the side's own, or 502 or 504 where nginx put it in place of
	// an answer; 0 when the try ended without either.
	Status int
	// Connected is true when a connection, TLS included, was made.
	Connected bool
	// Replied is true when the status is the side's own. Without
	// upstream_header_time in the line every 502 and 504 counts as nginx's.
	Replied bool
	// Unread is true when nginx could not send the whole request, because the side
	// ended the connection before. Only the lines that nginx sends at once tell.
	Unread bool
	// Latency is the sum over all tries; -1 when the line has none.
	Latency time.Duration
	// LongBody says that the answer went on for longer than longBody.
	LongBody bool
}

// Failure gives the way in which the side failed the request:
//
//	connected  replied  status    failure
//	no         no       502, 504  connect (refused, unreachable, TLS, too slow)
//	yes        no       504       timeout
//	yes        no       502       reset (or an answer that is not HTTP)
//	yes        yes      >= 500    status
//	any        any      0, 499    none: the client closed the connection
//
// It does not know on_status, the service's own list of failing statuses: a
// caller that has the list also looks at Status when the result is
// FailureStatus or NoFailure.
func (u Upstream) Failure() fallback.Failure {
	switch {
	case !u.Finished():
		return fallback.NoFailure
	case u.Replied && u.Status >= 500:
		return fallback.FailureStatus
	case u.Replied:
		return fallback.NoFailure
	case !u.Connected:
		return fallback.FailureConnect
	case u.Status == 504:
		return fallback.FailureTimeout
	}
	return fallback.FailureReset
}

// RefusedUpload reports whether the side ended the connection while it still got the
// request's body. A server that answers before it has read an upload (413, 401) often
// does: nginx then cannot send, and does not read the answer that may be there.
func (u Upstream) RefusedUpload() bool {
	return u.Unread && u.Connected && !u.Replied && u.Status == 502
}

// Finished reports whether the side was asked and the client waited for its
// answer: it did not close the connection (499) or break off its own request.
func (u Upstream) Finished() bool {
	return u.Tries > 0 && u.Status != 0 && u.Status != statusClientClosed
}

// Outcome is the part of the upstream that the fallback judges.
func (u Upstream) Outcome() fallback.Outcome {
	return fallback.Outcome{Finished: u.Finished(), Failure: u.Failure(), Status: u.Status}
}

// statusClientClosed is the status that nginx logs when the client closed the
// connection before it got an answer.
const statusClientClosed = 499

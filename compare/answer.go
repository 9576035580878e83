package compare

import (
	"net/http"
	"strings"
	"time"
)

// MaxBody is how many bytes of a body are compared.
const MaxBody = 1 << 20

// Request is what both sides are asked.
type Request struct {
	Method string // GET or HEAD
	Host   string // the host that clients use
	Target string // path and query, as a client sends them
	ID     string // of the client's request; "" if it has none
}

// Path is the target without the query.
func (r Request) Path() string {
	path, _, _ := strings.Cut(r.Target, "?")
	return path
}

// Failure is why a side has given no answer.
type Failure string

// The failures; None is an answer of the side itself.
const (
	None    Failure = ""
	Connect Failure = "connect" // no connection
	TLS     Failure = "tls"     // no TLS handshake
	Timeout Failure = "timeout"
	Reset   Failure = "reset" // the connection ended before the answer
)

// Answer is what one side answered.
type Answer struct {
	Status   int // also that of nginx, 502 or 504, if Failure is not None; 0 without any
	Header   http.Header
	Body     []byte // as it was sent, at most MaxBody bytes
	Cut      bool   // the body is longer
	Duration time.Duration
	Failure  Failure
	Detail   string // of the failure, for people
}

// Sample is one request with its answers.
type Sample struct {
	Request
	NewHost string // the Host of requests to new
	Old     Answer
	New     Answer
	Again   Answer // of old, once more
	// Lower is new's answer to the same path in lower case, if FollowUp asks for it.
	Lower *Answer
}

// FollowUp is a target that new must be asked too before Judge knows the cause; "" if
// there is none.
func (s *Sample) FollowUp() string {
	path, query, found := strings.Cut(s.Target, "?")
	lower := strings.ToLower(path)
	if s.New.Status != http.StatusNotFound || s.Old.Status >= 400 || lower == path {
		return ""
	}
	if found {
		lower += "?" + query
	}
	return lower
}

// second is a look at the same request: old again, new once more, and old once more.
func (s *Sample) second(new, old Answer) Sample {
	again := *s
	again.Old, again.New, again.Again = s.Again, new, old
	return again
}

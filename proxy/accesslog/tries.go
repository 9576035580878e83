package accesslog

import (
	"bytes"
	"time"

	"github.com/migration-proxy/migration-proxy/migration"
)

// tryLists are nginx's six lists, which are read in parallel. A "," separates
// tries on one side, " : " separates the sides: "502, 502 : 200" is two tries
// on new and one on old.
type tryLists struct {
	statuses, connects, headers, responses, addresses, sent []byte
	group                                                   int // 0 for the first side, then 1
}

// readTries finds out which sides were asked, in which order, and what each did.
func (e *Event) readTries(f *fields) {
	lists := tryLists{f.statuses, f.connects, f.headers, f.responses, f.addresses, f.sent, 0}
	if len(orEmpty(f.addresses)) == 0 && e.fromCache() {
		return
	}
	if len(orEmpty(f.addresses)) == 0 {
		e.reachedNoSide()
		return
	}
	if e.Decision == "" && e.Reason != "" {
		e.Decision = e.firstAsked(f.statuses)
	}
	if e.Decision == "" {
		return
	}
	for len(lists.statuses) > 0 {
		upstream, t := e.upstreamOf(lists.group), lists.next()
		if f.isGRPC && upstream == &e.New && isStandby(t.address) {
			e.addGivenUp()
			upstream, t = &e.Old, t.behindStandby()
		}
		upstream.add(t, f.hasHdr)
		upstream.Unread = leftUnread(t.sent, f.requestLength)
	}
}

// reachedNoSide: nginx had decided, and then answered by itself, because the body
// was too large or malformed, or the client broke it off.
func (e *Event) reachedNoSide() {
	e.Answered, e.Decision, e.Reason, e.Rule, e.Bucket = "", "", "", -1, -1
}

// firstAsked gives the side that a bucket chose: new when a second side was
// asked (requests to old are not retried on new), else the side that answered.
func (e *Event) firstAsked(statuses []byte) migration.Side {
	if bytes.Contains(statuses, []byte(" : ")) {
		return migration.New
	}
	return e.Answered
}

// upstreamOf gives the side of a group: the first group is the side of the
// decision, another one can only be the retry on old.
func (e *Event) upstreamOf(group int) *Upstream {
	if group == 0 && e.Decision == migration.New {
		return &e.New
	}
	return &e.Old
}

// lengthMargin is how much longer the headers of a request may become on the way to a
// backend.
const lengthMargin = 4096

// leftUnread tells whether nginx could not send the whole request. Lines without the
// two fields do not tell.
func leftUnread(sent, requestLength []byte) bool {
	bytesSent, known := number(sent)
	length, ok := number(requestLength)
	return known && ok && bytesSent+lengthMargin < length
}

// try is one element of each list.
type try struct{ status, connect, header, response, address, sent []byte }

// next removes the next try from the lists.
func (l *tryLists) next() try {
	var t try
	var sideEnds bool
	t.connect, l.connects, _ = cutTry(l.connects)
	t.header, l.headers, _ = cutTry(l.headers)
	t.response, l.responses, _ = cutTry(l.responses)
	t.sent, l.sent, _ = cutTry(l.sent)
	t.address, l.addresses, _ = cutTry(l.addresses)
	t.status, l.statuses, sideEnds = cutTry(l.statuses)
	if sideEnds {
		l.group++
	}
	return t
}

// cutTry cuts at the first ", " or " : " and reports whether it was " : ".
func cutTry(list []byte) (first, rest []byte, sideEnds bool) {
	for i, c := range list {
		if c == ',' {
			return list[:i], bytes.TrimLeft(list[i+1:], " "), false
		}
		if c == ' ' {
			return list[:i], bytes.TrimLeft(list[i:], " :"), true
		}
	}
	return list, nil, false
}

// longBody is how long an answer may go on and be no stream. Long polls, watches and
// event streams that the client did not ask for by an Accept header take longer.
const longBody = time.Minute

func (u *Upstream) add(t try, hasHeaderTime bool) {
	if u.Tries == 0 {
		u.Latency = -1
	}
	u.Tries++
	u.Status, _ = number(t.status)
	_, u.Connected = seconds(t.connect)
	var begun time.Duration
	begun, u.Replied = seconds(t.header)
	if !hasHeaderTime {
		u.Replied = u.Status != 0 && u.Status != 502 && u.Status != 504
	}
	if elapsed, ok := seconds(t.response); ok {
		u.Latency = max(u.Latency, 0) + elapsed
		u.LongBody = u.Replied && elapsed-begun > longBody
	}
}

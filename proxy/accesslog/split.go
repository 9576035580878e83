package accesslog

import (
	"bytes"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// maxSplit is when counting begins anew, so that what goes wrong later is not lost
// among millions of earlier requests. At 25 %, when no request goes to new
// any more, it takes at most 4,200 requests to see it.
const maxSplit = 100_000

// SetShare says which share is in force for a service since now. The observed
// share and the split of the service are counted from now on; metrics are not
// changed. Requests that began before, and were decided by another share, do not
// count, however long they take.
func (c *Counters) SetShare(service migration.Name, share migration.Share, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.services[string(service)]
	if s == nil {
		return
	}
	s.split, s.share = status.Split{Since: now, Share: share.Percent()}, share
	if s.evidence != nil {
		s.evidence.setShare(share, now)
	}
	if s.window != nil {
		s.window.forgetDecisions()
	}
}

// countDecision counts a request that the present share decided, or no share.
func (s *service) countDecision(slot *slot, e *Event, now time.Time) {
	if e.Decision == "" {
		return
	}
	isNew := e.Decision == migration.New
	slot.decided++
	if isNew {
		slot.decidedNew++
	}
	switch e.Reason {
	case migration.ReasonDirect:
		slot.direct++
	case ReasonBucket:
		if s.split.Requests == maxSplit {
			s.split = status.Split{Since: now, Share: s.split.Share}
		}
		s.split.Requests++
		if isNew {
			s.split.New++
		}
	}
}

// started is when the request began, or up to a second before: nginx writes whole
// seconds. now counts for a line without a time.
func (c *Counters) started(e *Event, now time.Time) time.Time {
	logged, ok := c.clock.read(e.Logged)
	if !ok {
		logged = now
	}
	return logged.Add(-e.RequestTime)
}

// logClock reads nginx's $time_local. It keeps the last text, because all lines of
// one second have the same.
type logClock struct {
	text [len(timeLocal)]byte
	time time.Time
}

const timeLocal = "02/Jan/2006:15:04:05 -0700"

func (c *logClock) read(text []byte) (time.Time, bool) {
	if len(text) != len(timeLocal) {
		return time.Time{}, false
	}
	if bytes.Equal(text, c.text[:]) {
		return c.time, true
	}
	parsed, err := time.Parse(timeLocal, string(text))
	if err != nil {
		return time.Time{}, false
	}
	copy(c.text[:], text)
	c.time = parsed
	return parsed, true
}

// FillSplits fills in the Split of each row, found by its name.
func (c *Counters) FillSplits(rows []status.Service, now time.Time) {
	for i := range rows {
		c.fillSplit(&rows[i], now)
	}
}

func (c *Counters) fillSplit(row *status.Service, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.services[row.Name]; s != nil {
		row.Split = s.splitNow(s.lastMinute(now))
	}
}

func (s *service) splitNow(minute slot) status.Split {
	split := s.split
	split.Direct = uint64(minute.direct)
	return split
}

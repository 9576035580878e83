package accesslog

import (
	"sync"
	"time"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// The two rows for requests that belong to no service of the table. No
// service can be called so: a name has no parentheses.
const (
	UnknownService = "(unknown)" // a service the table does not, or no longer, name
	NoService      = "(none)"    // no service was meant: 400, 404, 421
)

// Counters are the numbers of every service, safe for use from several
// goroutines. Their size is bounded by the table: a service without traffic
// costs about 300 bytes, one with traffic on both sides about 3 KB.
type Counters struct {
	mu       sync.Mutex
	services map[string]*service
	unknown  *service
	none     *service

	lines         uint64
	notUnderstood uint64
	// NotForwarded tells how many lines the Forwarder dropped; nil for none.
	// Set it before the first use.
	NotForwarded func() uint64
}

// service is the row of one service.
type service struct {
	since    time.Time
	requests map[series]uint64
	old, new *side
	window   *window // nil while the last minute is empty
}

// series is what requests are counted by, besides the service.
type series struct {
	side   string // old, new, none
	class  uint8  // 1 to 5 for 1xx to 5xx, 0 for anything else
	reason migration.Code
}

// side counts since the agent started.
type side struct {
	latency  histogram
	failures map[fallback.Failure]uint64
	rescued  map[fallback.Failure]uint64 // by what new did wrong; new's side only
}

// NewCounters gives counters without services; now is when counting begins.
func NewCounters(now time.Time) *Counters {
	return &Counters{
		services: map[string]*service{},
		unknown:  &service{since: now},
		none:     &service{since: now},
	}
}

// SetServices says which services the table has. New ones are counted from
// now on, others are forgotten with all their numbers.
func (c *Counters) SetServices(names []string, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := make(map[string]*service, len(names))
	for _, name := range names {
		row := c.services[name]
		if row == nil {
			row = &service{since: now}
		}
		next[name] = row
	}
	c.services = next
}

// Add counts one request that ended at now.
func (c *Counters) Add(e *Event, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines++
	c.row(e.Service).add(e, now)
}

// AddBroken counts a failure of a request that Add counts as a success of the
// side: its answer broke off. A service outside the table is left out.
func (c *Counters) AddBroken(name migration.Name, which migration.Side, failure fallback.Failure, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.services[string(name)]
	if s == nil {
		return
	}
	if s.window == nil {
		s.window = &window{}
	}
	slot, total := &s.window.at(now).old, &s.old
	if which == migration.New {
		slot, total = &s.window.at(now).new, &s.new
	}
	if *total == nil {
		*total = &side{}
	}
	slot.failed++
	(*total).fail(failure)
}

// AddNotUnderstood counts a line that Parse refused.
func (c *Counters) AddNotUnderstood() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines++
	c.notUnderstood++
}

func (c *Counters) row(name []byte) *service {
	if len(name) == 0 {
		return c.none
	}
	if row := c.services[string(name)]; row != nil {
		return row
	}
	return c.unknown
}

func (s *service) add(e *Event, now time.Time) {
	if s.requests == nil {
		s.requests = map[series]uint64{}
	}
	s.requests[seriesOf(e)]++
	if s.window == nil {
		s.window = &window{}
	}
	slot := s.window.at(now)
	if e.Decision != "" {
		slot.decided++
	}
	if e.Decision == migration.New {
		slot.forNew++
	}
	addUpstream(&s.old, &slot.old, e.Old)
	addUpstream(&s.new, &slot.new, e.New)
	if e.Rescued() {
		s.new.rescue(e.New.Failure())
	}
}

func seriesOf(e *Event) series {
	found := series{side: "none", reason: e.Reason}
	if e.Answered != "" {
		found.side = string(e.Answered)
	}
	if class := e.Status / 100; class <= 5 {
		found.class = uint8(class)
	}
	return found
}

// addUpstream counts what one side did. A request whose client left counts as
// asked and nothing else; an upgraded connection (101) lives for hours and
// its length is no latency.
func addUpstream(total **side, slot *sideSlot, u Upstream) {
	if u.Tries == 0 {
		return
	}
	if *total == nil {
		*total = &side{}
	}
	slot.asked++
	if failure := u.Failure(); failure != fallback.NoFailure {
		slot.failed++
		(*total).fail(failure)
	}
	if u.Finished() && u.Latency >= 0 && u.Status != 101 {
		slot.latency[bucketOf(u.Latency)]++
		(*total).latency.observe(u.Latency)
	}
}

func (s *side) fail(failure fallback.Failure) {
	if s.failures == nil {
		s.failures = map[fallback.Failure]uint64{}
	}
	s.failures[failure]++
}

// rescue counts by failure; a status below 500 that the service's own list
// calls a failure counts as a status too.
func (s *side) rescue(failure fallback.Failure) {
	if failure == fallback.NoFailure {
		failure = fallback.FailureStatus
	}
	if s.rescued == nil {
		s.rescued = map[fallback.Failure]uint64{}
	}
	s.rescued[failure]++
}

// Log tells how many lines were read, and how many of them not understood or
// not forwarded.
func (c *Counters) Log() status.Log {
	c.mu.Lock()
	defer c.mu.Unlock()
	return status.Log{Lines: c.lines, Dropped: c.notUnderstood + c.notForwarded()}
}

func (c *Counters) notForwarded() uint64 {
	if c.NotForwarded == nil {
		return 0
	}
	return c.NotForwarded()
}

// Fill writes into each row, found by its name, how the service did over the
// minute up to now: Observed, and Rate, Failed, P50, P99 and Rescued of both
// sides. A request that new failed and old rescued was asked of both.
func (c *Counters) Fill(rows []status.Service, now time.Time) {
	for i := range rows {
		c.fill(&rows[i], now)
	}
}

func (c *Counters) fill(row *status.Service, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.services[row.Name]
	if s == nil {
		return
	}
	sum, over := s.lastMinute(now), covered(now, s.since)
	row.Observed = observed(sum)
	sum.old.fill(&row.Old, over)
	sum.new.fill(&row.New, over)
	row.New.Rescued = s.rescued()
}

// lastMinute sums the window, and gives its memory back when nothing is left
// in it.
func (s *service) lastMinute(now time.Time) slot {
	if s.window == nil {
		return slot{}
	}
	sum := s.window.sum(now)
	if sum.number == 0 {
		s.window = nil
	}
	return sum
}

func observed(sum slot) *float64 {
	if sum.decided == 0 {
		return nil
	}
	percent := 100 * float64(sum.forNew) / float64(sum.decided)
	return &percent
}

func (s *sideSlot) fill(row *status.Side, over time.Duration) {
	row.Rate = float64(s.asked) / over.Seconds()
	row.Failed = float64(s.failed) / float64(max(s.asked, 1))
	row.P50 = quantile(&s.latency, 0.50)
	row.P99 = quantile(&s.latency, 0.99)
}

func (s *service) rescued() uint64 {
	total := uint64(0)
	if s.new != nil {
		for _, n := range s.new.rescued {
			total += n
		}
	}
	return total
}

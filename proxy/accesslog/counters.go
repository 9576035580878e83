package accesslog

import (
	"cmp"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// Labels of the requests that belong to no service of the table. No service
// has such a name: a name has no parentheses.
const (
	UnknownService = "(unknown)" // the table does not have the service, or no longer
	NoService      = "(none)"    // the request belongs to no service: 400, 404, 421
)

// Counters count the requests of every service, for /metrics and /status. They
// are safe for concurrent use. The table limits their size: a service without
// traffic costs about 120 bytes, one with traffic on both sides about 8 KB, and one
// with a ramp 15 KB more.
type Counters struct {
	metrics *metrics

	mu            sync.Mutex
	clock         logClock
	services      map[string]*service // of the table
	unknown, none *service            // UnknownService and NoService
	routes        *migration.Table    // in force; nil before the first
	log           status.Log
	evidenceSince time.Time // see status.Evidence.StartedAt
}

// service holds the last minute of one service, and those of its metrics that
// every request counts in: to look them up by their labels each time would take
// twice as long.
type service struct {
	name     string
	since    time.Time // when counting began
	window   *window   // nil while the last minute is empty
	rescued  uint64    // since the agent started
	last     time.Time // when the newest request was counted
	answers  uint64    // since the agent started
	errors   uint64    // those of them with a status from 500 on
	split    status.Split
	share    migration.Share // in force
	evidence *evidence       // nil without a ramp
	warnings map[migration.Side]warning
	requests map[requestKey]prometheus.Counter
	old, new prometheus.Observer // latency; nil until the side has answered
}

// NewCounters makes counters without services.
func NewCounters(now time.Time) *Counters {
	return &Counters{
		metrics: newMetrics(),
		unknown: &service{name: UnknownService, since: now},
		none:    &service{name: NoService, since: now},

		evidenceSince: now,
	}
}

// SetServices says which services the table has. New ones are counted from now
// on; the others are forgotten with all their numbers.
func (c *Counters) SetServices(names []string, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	previous := c.services
	c.services = make(map[string]*service, len(names))
	for _, name := range names {
		s := previous[name]
		if s == nil {
			s = &service{name: name, since: now, split: status.Split{Since: now}}
		}
		c.services[name] = s
	}
	for name := range previous {
		if c.services[name] == nil {
			c.metrics.remove(name)
		}
	}
}

// Add counts one request that ended at now.
func (c *Counters) Add(e *Event, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log.Lines++
	c.metrics.lines.Inc()
	s := c.serviceOf(e)
	s.countAnswer(e, now)
	c.countRequest(s, e)
	c.countCache(s, e)
	slot := s.slot(now)
	started := c.started(e, now)
	if !started.Before(s.split.Since) {
		s.countDecision(slot, e, now)
	}
	if s.evidence != nil {
		s.evidence.count(e, started, now)
	}
	c.addUpstream(s, migration.Old, &slot.old, &e.Old)
	c.addUpstream(s, migration.New, &slot.new, &e.New)
	if hasLatency(e, &e.Old) {
		c.addLatency(s, migration.Old, &slot.old, e.Old.Latency)
	}
	if hasLatency(e, &e.New) {
		c.addLatency(s, migration.New, &slot.new, e.New.Latency)
	}
	if e.Rescued() {
		s.rescued++
		c.metrics.rescued.WithLabelValues(s.name, string(rescueReason(e))).Inc()
	}
}

// countAnswer counts what the client got.
func (s *service) countAnswer(e *Event, now time.Time) {
	s.last = now
	s.answers++
	if e.Status >= http.StatusInternalServerError {
		s.errors++
	}
}

func (c *Counters) countRequest(s *service, e *Event) {
	key := requestKey{e.Answered, classOf(e.Status), e.Reason}
	counter := s.requests[key]
	if counter == nil {
		if s.requests == nil {
			s.requests = map[requestKey]prometheus.Counter{}
		}
		counter = c.metrics.request(s.name, key)
		s.requests[key] = counter
	}
	counter.Inc()
}

func (c *Counters) serviceOf(e *Event) *service {
	name := string(e.Service)
	if name == "" {
		name = c.serviceOfRefused(e)
	}
	if name == "" {
		return c.none
	}
	if s := c.services[name]; s != nil {
		return s
	}
	return c.unknown
}

// serviceOfRefused finds the service of a request whose Content-Length exceeds
// max_body_size: nginx answers 413 before it sets any variable.
func (c *Counters) serviceOfRefused(e *Event) string {
	if e.Status != http.StatusRequestEntityTooLarge || c.routes == nil {
		return ""
	}
	path, ok := migration.NormalizePath(string(e.Target))
	if !ok {
		return ""
	}
	row := c.routes.Route(migration.NormalizeHost(string(e.Host)), path)
	if row == nil {
		return ""
	}
	return string(row.Name)
}

// addUpstream counts what one side did. A request whose client closed the
// connection counts as asked and nothing else.
func (c *Counters) addUpstream(s *service, side migration.Side, slot *sideSlot, u *Upstream) {
	if u.Tries == 0 {
		return
	}
	slot.asked++
	if failure := u.Failure(); failure != fallback.NoFailure {
		slot.failed++
		c.metrics.failure(s.name, side, failure)
	}
}

// addLatency counts how long one side took.
func (c *Counters) addLatency(s *service, side migration.Side, slot *sideSlot, latency time.Duration) {
	slot.latency[bucketOf(latency)]++
	c.observeLatency(s, side, latency)
}

func (c *Counters) observeLatency(s *service, side migration.Side, latency time.Duration) {
	observer := &s.old
	if side == migration.New {
		observer = &s.new
	}
	if *observer == nil {
		*observer = c.metrics.latency.WithLabelValues(s.name, string(side))
	}
	(*observer).Observe(latency.Seconds())
}

// rescueReason is the failure of new. A status below 500 is a failure only for
// on_status, the service's own list.
func rescueReason(e *Event) fallback.Failure {
	if failure := e.New.Failure(); failure != fallback.NoFailure {
		return failure
	}
	return fallback.FailureStatus
}

// AddBrokenAnswer counts a failure of a request that Add counts as a success:
// its answer broke off. A service outside the table is ignored.
func (c *Counters) AddBrokenAnswer(name migration.Name, side migration.Side, failure fallback.Failure, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.services[string(name)]
	if s == nil {
		return
	}
	slot := s.slot(now)
	if side == migration.New {
		slot.new.failed++
	} else {
		slot.old.failed++
	}
	if s.evidence != nil {
		s.evidence.addBroken(side)
	}
	c.metrics.failure(s.name, side, failure)
}

// AddCompared counts a line of a request that the agent itself sent, see Event.Compared.
func (c *Counters) AddCompared() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log.Lines++
	c.metrics.lines.Inc()
}

// AddNotUnderstood counts a line that Parse refused.
func (c *Counters) AddNotUnderstood() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log.Lines++
	c.log.Dropped++
	c.metrics.lines.Inc()
	c.metrics.notUnderstood.Inc()
}

// AddShed counts lines that were not read, because too many waited.
func (c *Counters) AddShed(lines int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log.Lines += uint64(lines)
	c.log.Dropped += uint64(lines)
	c.metrics.lines.Add(float64(lines))
	c.metrics.shed.Add(float64(lines))
}

// AddNotForwarded counts lines that the Forwarder dropped.
func (c *Counters) AddNotForwarded(lines int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log.Dropped += uint64(lines)
	c.metrics.notForwarded.Add(float64(lines))
}

// Log gives how many lines were read, and how many of them were not understood
// or not forwarded.
func (c *Counters) Log() status.Log {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log
}

// Fill fills in the figures of the minute up to now in each row, found by its
// name: Observed, and Rate, Failed, P50, P99 and Rescued of both sides. A
// request that new failed and old answered counts on both sides.
func (c *Counters) Fill(rows []status.Service, now time.Time) {
	for i := range rows {
		c.fillRow(&rows[i], now)
	}
}

func (c *Counters) fillRow(row *status.Service, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.services[row.Name]
	if s == nil {
		return
	}
	sum, covered := s.lastMinute(now), coveredTime(now, s.since)
	row.Observed, row.ObservedRequests = observedPercent(sum), uint64(sum.decided)
	row.Split, row.LastRequest = s.splitNow(sum), s.last
	row.Requests, row.ServerErrors = s.answers, s.errors
	sum.old.fillSide(&row.Old, covered)
	sum.new.fillSide(&row.New, covered)
	row.New.Rescued = s.rescued
	row.Old.Warning = cmp.Or(row.Old.Warning, s.warnings[migration.Old].within(now))
	row.New.Warning = cmp.Or(row.New.Warning, s.warnings[migration.New].within(now))
}

// warning is a text for status.Side, and when its cause was last seen.
type warning struct {
	text string
	at   time.Time
}

// warningTime is how long status shows a warning after its cause.
const warningTime = 10 * time.Minute

func (w warning) within(now time.Time) string {
	if now.Sub(w.at) > warningTime {
		return ""
	}
	return w.text
}

// Warn sets the warning of a side. It reports whether status did not have it.
func (c *Counters) Warn(name migration.Name, side migration.Side, text string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.services[string(name)]
	if s == nil {
		return false
	}
	if s.warnings == nil {
		s.warnings = map[migration.Side]warning{}
	}
	isNew := s.warnings[side].within(now) != text
	s.warnings[side] = warning{text, now}
	return isNew
}

func (s *service) slot(now time.Time) *slot {
	if s.window == nil {
		s.window = &window{}
	}
	return s.window.at(now)
}

// lastMinute sums the window, and frees it when it is empty.
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

// minObserved is how many requests an observed share is about at least.
const minObserved = 20

func observedPercent(sum slot) *float64 {
	if sum.decided < minObserved {
		return nil
	}
	percent := 100 * float64(sum.decidedNew) / float64(sum.decided)
	return &percent
}

func (s *sideSlot) fillSide(row *status.Side, covered time.Duration) {
	row.Rate = float64(s.asked) / covered.Seconds()
	row.Failed = float64(s.failed) / float64(max(s.asked, 1))
	row.P50 = quantile(&s.latency, 0.50)
	row.P99 = quantile(&s.latency, 0.99)
}

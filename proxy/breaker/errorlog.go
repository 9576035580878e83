package breaker

import (
	"slices"
	"time"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy/errorlog"
)

// ObserveErrorLog takes a line of nginx's error log. An answer of new that
// broke off is a failure; the message of a failed TLS handshake becomes part
// of the evidence. Most lines are about something else.
func (b *Breaker) ObserveErrorLog(line string, now time.Time) {
	c, ok := errorlog.Parse(line)
	if !ok || c.Compared {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.table == nil {
		return
	}
	row := b.table.Route(c.Server, c.Path)
	if row == nil || b.services[row.Name] == nil {
		return
	}
	s, side := b.services[row.Name], b.sideOf(row, &c)
	switch {
	case c.Stage == errorlog.Handshake && side == migration.New:
		b.explain(s, &c, now)
	case c.Stage == errorlog.Body && side != "":
		b.options.Counters.AddBrokenAnswer(s.name, side, c.Failure, now)
		if side == migration.New {
			b.failedAnswer(s, c.Failure, c.Message, now)
		}
	}
}

// sideOf finds the side by its address. It gives "" when neither side has the
// address now, or both have it: no side is blamed for the other's failure.
func (b *Breaker) sideOf(row *migration.Service, c *errorlog.Complaint) migration.Side {
	isAt := func(backend migration.Backend) bool {
		return backend.Scheme == c.Scheme && slices.Contains(b.options.Agent.Addresses(backend), c.Address)
	}
	switch old, new := isAt(row.OldBackend), isAt(row.NewBackend); {
	case new && !old:
		return migration.New
	case old && !new:
		return migration.Old
	}
	return ""
}

// pendingAnswers are answers that the access log calls a success, of a service with a failure_ratio. They
// are counted one to two seconds later, when the batches have brought their
// requests: a few failures would otherwise be divided by no requests.
type pendingAnswers struct {
	fresh, due int // since the last tick, and before it
	failure    fallback.Failure
	message    string // of the last one
}

func (b *Breaker) failedAnswer(s *service, failure fallback.Failure, message string, now time.Time) {
	if s.config.Ratio > 0 {
		s.pending.fresh++
		s.pending.failure, s.pending.message = failure, message
		return
	}
	b.apply(s, s.machine.BrokenAnswer(failure, message, now))
}

// countPending is called once a tick.
func (b *Breaker) countPending(s *service, now time.Time) {
	for range s.pending.due {
		b.apply(s, s.machine.BrokenAnswer(s.pending.failure, s.pending.message, now))
	}
	s.pending.fresh, s.pending.due = 0, s.pending.fresh
}

// explain adds the reason of failed connections to the evidence of the last
// trip. The error log has the reason up to 100 ms after the trip.
func (b *Breaker) explain(s *service, c *errorlog.Complaint, now time.Time) {
	if !s.machine.Explain(fallback.FailureTLS, c.Message, now) {
		return
	}
	state := s.machine.State()
	b.options.Log.Warn("reason of the fallback found", "service", s.name, "reason", state.Reason())
	b.writeStates()
	b.setPhase(s.name, state)
}

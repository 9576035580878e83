package breaker

import (
	"slices"
	"time"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy/errorlog"
)

// Complaint takes a line of nginx's error log: an answer that broke off is a
// failure of new, and why TLS fails belongs into the evidence. Most lines are
// about something else.
func (g *Breaker) Complaint(line string, now time.Time) {
	c, ok := errorlog.Parse(line)
	if !ok {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.table == nil {
		return
	}
	s := g.table.Route(c.Server, c.Path)
	if s == nil || g.watched[s.Name] == nil {
		return
	}
	side := g.blamed(s, &c)
	if c.Stage == errorlog.Body && side != "" {
		g.options.Broken(s.Name, side, c.Failure, now)
	}
	if side != migration.New {
		return
	}
	if c.Stage == errorlog.Handshake {
		g.explain(s.Name, &c, now)
		return
	}
	g.broken(s.Name, &c, now)
}

// blamed tells by the address which side it was; "" when neither has it now,
// or both have: nobody is blamed for another's failure.
func (g *Breaker) blamed(s *migration.Service, c *errorlog.Complaint) migration.Side {
	is := func(b migration.Backend) bool {
		return b.Scheme == c.Scheme && slices.Contains(g.options.Addresses(b), c.Address)
	}
	switch old, new := is(s.OldBackend), is(s.NewBackend); {
	case new && !old:
		return migration.New
	case old && !new:
		return migration.Old
	}
	return ""
}

// pending are answers of a service with a failure_ratio that broke off. They
// are judged one to two seconds later: the batches must have told of their
// requests, or a few failures would be divided by nothing.
type pending struct {
	fresh, ripe int
	last        errorlog.Complaint
}

func (g *Breaker) broken(name migration.Name, c *errorlog.Complaint, now time.Time) {
	w := g.watched[name]
	if w.config.Ratio > 0 {
		w.pending.fresh++
		w.pending.last = *c
		return
	}
	g.heed(name, w, w.machine.BrokenAnswer(c.Failure, c.Words, now))
}

// ripen is called once a tick.
func (g *Breaker) ripen(name migration.Name, w *watched, now time.Time) {
	for range w.pending.ripe {
		g.heed(name, w, w.machine.BrokenAnswer(w.pending.last.Failure, w.pending.last.Words, now))
	}
	w.pending.fresh, w.pending.ripe = 0, w.pending.fresh
}

// explain tells why a trip was made as soon as it is known, which is up to
// 100 ms after the trip.
func (g *Breaker) explain(name migration.Name, c *errorlog.Complaint, now time.Time) {
	w := g.watched[name]
	if !w.machine.Explain(fallback.FailureTLS, c.Words, now) {
		return
	}
	state := w.machine.State()
	g.options.Log.Warn("fallback explained", "service", name, "because", state.Reason())
	g.store()
	g.tell(name, state)
}

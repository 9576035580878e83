package accesslog

import (
	"slices"
	"time"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// evidence is what is counted for the ramp of one service. It takes about 15 KB.
type evidence struct {
	share                migration.Share
	since                time.Time // when the share came in force
	slowOld, slowNew     time.Duration
	onStatus             []int
	onlyRandom           bool // no rule decides requests
	old, new             status.EvidenceSide
	brokenOld, brokenNew uint64 // answers that broke off, see AddBrokenAnswer
	latency              latencyWindow
	buckets              *bucketSets // of strategy user_hash
}

// SetRoutes says which table nginx routes by. Services with a ramp are counted for
// Evidence from then on.
func (c *Counters) SetRoutes(table *migration.Table, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.routes = table
	rows := table.Services()
	for i := range rows {
		if s := c.services[string(rows[i].Name)]; s != nil {
			c.setRamp(s, &rows[i], now)
		}
	}
}

// setRamp begins or ends counting for a ramp. When it ends, all counters of Evidence
// count as begun anew: if the ramp comes back, its counters are lower than before.
func (c *Counters) setRamp(s *service, row *migration.Service, now time.Time) {
	if row.Ramp == nil {
		if s.evidence != nil {
			s.evidence, c.evidenceSince = nil, now
		}
		return
	}
	if s.evidence == nil {
		s.evidence = &evidence{share: s.share, since: s.split.Since}
	}
	e := s.evidence
	e.onStatus = row.Fallback.OnStatus
	e.onlyRandom = len(row.HeaderRules)+len(row.IPRules) == 0
	switch {
	case row.Strategy != migration.StrategyUserHash:
		e.buckets = nil
	case e.buckets == nil:
		e.buckets = &bucketSets{}
	}
}

// SetSlow says which answers of a service with a ramp are slow: those that take longer
// than the bound of their side. A bound of 0 calls none slow.
func (c *Counters) SetSlow(name migration.Name, old, new time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.services[string(name)]; s != nil && s.evidence != nil {
		s.evidence.slowOld, s.evidence.slowNew = old, new
	}
}

// setShare begins the set of buckets anew: a bucket may now belong to the other side.
func (e *evidence) setShare(share migration.Share, now time.Time) {
	e.share, e.since = share, now
	if e.buckets != nil {
		e.buckets.empty(now)
	}
}

// count counts a request that began at started. Only requests that chance or the hash
// sent to a side can be compared: those of rules are testers.
func (e *evidence) count(event *Event, started, now time.Time) {
	if event.Reason != ReasonBucket || started.Before(e.since) {
		return
	}
	switch event.Decision {
	case migration.New:
		failed := event.Rescued() || e.failed(&event.New)
		e.add(&e.new, event, &event.New, outcome{failed, isSlow(event, &event.New, e.slowNew), now})
	case migration.Old:
		e.add(&e.old, event, &event.Old, outcome{e.failed(&event.Old), isSlow(event, &event.Old, e.slowOld), now})
		if hasLatency(event, &event.Old) {
			e.latency.add(event.Old.Latency, now)
		}
	}
}

// failed also knows on_status, the statuses that make new fall back to old: they are
// failures of old too, because both sides are measured alike.
func (e *evidence) failed(u *Upstream) bool {
	return u.Failure() != fallback.NoFailure || u.Finished() && slices.Contains(e.onStatus, u.Status)
}

// outcome is how one side did with a request that ended at the time.
type outcome struct {
	failed, slow bool
	at           time.Time
}

// add counts a request that the side has answered, or for which the client waited
// longer than the bound. Of other requests nobody knows how they would have ended.
func (e *evidence) add(side *status.EvidenceSide, event *Event, u *Upstream, o outcome) {
	if !u.Finished() && !o.slow && !o.failed {
		return
	}
	side.Requests++
	if o.failed {
		side.Failed++
	}
	if o.slow {
		side.Slow++
	}
	if e.buckets != nil {
		e.buckets.add(event.Bucket, o)
	}
}

// isSlow tells whether the side took longer than the bound. It is also true for a client
// that left after the bound.
func isSlow(event *Event, u *Upstream, bound time.Duration) bool {
	if bound == 0 || u.Latency <= bound {
		return false
	}
	return hasLatency(event, u) || !u.Finished() && !u.Replied && u.Tries > 0 && !event.Stream
}

// hasLatency is false for upgraded connections (101) and streams, which live for hours,
// and for nginx before 1.29, which waits after 103.
func hasLatency(event *Event, u *Upstream) bool {
	return !event.Stream && u.Finished() && u.Latency >= 0 && u.Status >= 200 && !u.LongBody
}

// addBroken counts an answer that broke off. The error log does not say what decided its
// request, so it counts only where no rule does.
func (e *evidence) addBroken(side migration.Side) {
	switch {
	case !e.onlyRandom || e.share == 0 && side == migration.New:
	case side == migration.New:
		e.brokenNew++
	default:
		e.brokenOld++
	}
}

// Evidence is what was counted for the services with a ramp.
func (c *Counters) Evidence(now time.Time) status.Evidence {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := status.Evidence{StartedAt: c.evidenceSince, Now: now, Services: map[string]status.ServiceEvidence{}}
	for name, s := range c.services {
		if s.evidence != nil {
			all.Services[name] = s.evidence.document(now)
		}
	}
	return all
}

func (e *evidence) document(now time.Time) status.ServiceEvidence {
	return status.ServiceEvidence{
		Share: e.share.Percent(), Since: e.since,
		Old: withBroken(e.old, e.brokenOld), New: withBroken(e.new, e.brokenNew),
		OldLatency: e.latency.sum(now), Buckets: e.buckets.document(now),
	}
}

// withBroken adds answers that broke off to the failures. The error log is read earlier
// than the access log, so there may be more of them than requests for a moment.
func withBroken(side status.EvidenceSide, broken uint64) status.EvidenceSide {
	side.Failed = min(side.Failed+broken, side.Requests)
	return side
}

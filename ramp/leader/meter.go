package leader

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/ramp"
)

// staleAfter is how long a ready replica may give no evidence.
const staleAfter = 30 * time.Second

// Replica is the answer of one replica.
type Replica struct {
	Name    string         // for messages; no two replicas have the same
	Address netip.AddrPort // another address: another replica
	Ready   bool           // it gets traffic
	// Evidence is what it measured since it started; not known if Err is not nil.
	Evidence status.Evidence
	Err      error
}

// Meter makes what all replicas measured since the tick before from their counters,
// which only grow. The zero Meter has no replicas. One goroutine at a time may use it.
type Meter struct{ replicas map[string]*meteredReplica }

// meteredReplica has the last two answers of a replica. One that started again has
// another StartedAt: its counters begin anew.
type meteredReplica struct {
	name           string
	address        netip.AddrPort
	ready          bool
	before, latest *status.Evidence
	fresh          bool      // latest is of this tick
	answered       time.Time // of latest; when the replica appeared, before its first answer
	err            error
}

// Take takes the answers of all replicas in.
func (m *Meter) Take(replicas []Replica, now time.Time) {
	known := m.replicas
	m.replicas = make(map[string]*meteredReplica, len(replicas))
	for i := range replicas {
		answer := &replicas[i]
		one := known[answer.Name]
		if one == nil || one.address != answer.Address {
			one = &meteredReplica{name: answer.Name, address: answer.Address, answered: now}
		}
		one.ready, one.fresh, one.err = answer.Ready, answer.Err == nil, answer.Err
		if one.fresh {
			one.before, one.latest, one.answered = one.latest, &answer.Evidence, now
		}
		m.replicas[answer.Name] = one
	}
}

// Count is how many replicas there are.
func (m *Meter) Count() int { return len(m.replicas) }

func (m *Meter) sorted() []*meteredReplica {
	var all []*meteredReplica
	for _, pod := range slices.Sorted(maps.Keys(m.replicas)) {
		all = append(all, m.replicas[pod])
	}
	return all
}

// Slot adds up what the replicas measured of a service since the tick before.
func (m *Meter) Slot(name migration.Name) ramp.Slot {
	var slot ramp.Slot
	for _, replica := range m.sorted() {
		before, after, ok := replica.span(name)
		if !ok {
			continue
		}
		slot.Old = addDifference(slot.Old, before.Old, after.Old)
		mine := addDifference(ramp.Counts{}, before.New, after.New)
		slot.New.Requests, slot.New.Failed, slot.New.Slow = slot.New.Requests+mine.Requests, slot.New.Failed+mine.Failed, slot.New.Slow+mine.Slow
		if slot.Replicas == nil {
			slot.Replicas = map[string]ramp.Counts{}
		}
		slot.Replicas[replica.name] = mine
		if after.Buckets != nil {
			slot.Buckets.Seen.Union(after.Buckets.Seen)
			slot.Buckets.Failed.Union(after.Buckets.Failed)
			slot.Buckets.Slow.Union(after.Buckets.Slow)
		}
	}
	return slot
}

// span is the counters of a service at two moments of one run with one share. Counters
// that are lower than before are of another run.
func (r *meteredReplica) span(name migration.Name) (before, after status.ServiceEvidence, ok bool) {
	if !r.fresh || r.before == nil || !r.before.StartedAt.Equal(r.latest.StartedAt) {
		return before, after, false
	}
	before, known := r.before.Services[string(name)]
	after, ok = r.latest.Services[string(name)]
	ok = ok && known && before.Share == after.Share && grown(before.Old, after.Old) && grown(before.New, after.New)
	return before, after, ok
}

func grown(before, after status.EvidenceSide) bool {
	return after.Requests >= before.Requests && after.Failed >= before.Failed && after.Slow >= before.Slow
}

func addDifference(sum ramp.Counts, before, after status.EvidenceSide) ramp.Counts {
	sum.Requests += after.Requests - before.Requests
	sum.Failed += after.Failed - before.Failed
	sum.Slow += after.Slow - before.Slow
	return sum
}

// Unserved names a ready replica that does not serve the share, and says why; "" when
// all do.
func (m *Meter) Unserved(name migration.Name, share migration.Share, now time.Time) string {
	ready := 0
	for _, replica := range m.sorted() {
		if !replica.ready {
			continue
		}
		ready++
		if text := replica.unserved(name, share, now); text != "" {
			return replica.name + " " + text
		}
	}
	if ready == 0 {
		return "no replica is ready"
	}
	return ""
}

func (r *meteredReplica) unserved(name migration.Name, share migration.Share, now time.Time) string {
	switch silent := now.Sub(r.answered); {
	case r.latest == nil && r.err != nil:
		return fmt.Sprintf("gives no evidence: %v", r.err)
	case silent > staleAfter:
		return fmt.Sprintf("has given no evidence for %s: %v", silent.Round(time.Second), r.err)
	case r.latest == nil:
		return "has given no evidence yet"
	}
	served, ok := r.latest.Services[string(name)]
	switch {
	case !ok:
		return "does not have the ramp yet"
	case served.Share != share.Percent():
		return fmt.Sprintf("serves %g %%, not %s %%", served.Share, share)
	}
	return ""
}

// Serves tells whether a replica sends a part of the service to new.
func (m *Meter) Serves(name migration.Name) bool {
	for _, replica := range m.replicas {
		if replica.latest != nil && replica.latest.Services[string(name)].Share > 0 {
			return true
		}
	}
	return false
}

const (
	// minTimed is how many answers of old tell where its 99th percentile is.
	minTimed = 200
	// boundChange is the change of old's 99th percentile that the replicas are told: each
	// new bound is a write.
	boundChange = 0.1
)

// Position is a position of a service's ramp with the bounds above which answers are
// slow: old's 99th percentile of the last ten minutes, for new plus what the ramp allows.
// The bounds are those of the position before while the percentile is near, or when too
// few answers tell where it is.
func (m *Meter) Position(s *migration.Service, share migration.Share, before status.Position) status.Position {
	p := status.Position{Share: share.Percent(), SlowOld: before.SlowOld}
	if bound := m.slowBound(s.Name); bound > 0 && (bound > before.SlowOld*(1+boundChange) || bound < before.SlowOld*(1-boundChange)) {
		p.SlowOld = bound
	}
	if p.SlowOld > 0 {
		p.SlowNew = p.SlowOld + s.Ramp.Judge.SlowAllow.Seconds()
	}
	return p
}

// slowBound is old's 99th percentile of the last ten minutes in seconds; 0: too few
// answers to tell.
func (m *Meter) slowBound(name migration.Name) float64 {
	sum, all := make([]uint64, status.LatencyBins), uint64(0)
	for _, replica := range m.replicas {
		if replica.latest == nil {
			continue
		}
		for bin, n := range replica.latest.Services[string(name)].OldLatency {
			if bin < len(sum) {
				sum[bin], all = sum[bin]+n, all+n
			}
		}
	}
	if all < minTimed {
		return 0
	}
	return status.LatencyQuantile(sum, 0.99)
}

package watcher

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/ramp"
)

// evidenceStaleAfter is how long a ready replica may give no evidence.
const evidenceStaleAfter = 30 * time.Second

// rampMeter makes what all replicas measured since the tick before from their counters,
// which only grow. Only the ramp controller uses it.
type rampMeter struct{ replicas map[string]*meteredReplica }

// meteredReplica has the last two answers of a replica. One that started again has
// another StartedAt: its counters begin anew.
type meteredReplica struct {
	kube.Endpoint
	before, latest *status.Evidence
	fresh          bool      // latest is of this tick
	answered       time.Time // of latest; when the replica appeared, before its first answer
	err            error
}

// take takes the answers of all replicas in.
func (m *rampMeter) take(replicas []kube.ReplicaEvidence, now time.Time) {
	known := m.replicas
	m.replicas = make(map[string]*meteredReplica, len(replicas))
	for i := range replicas {
		answer := &replicas[i]
		one := known[answer.Pod]
		if one == nil || one.Address != answer.Address {
			one = &meteredReplica{answered: now}
		}
		one.Endpoint, one.fresh, one.err = answer.Endpoint, answer.Err == nil, answer.Err
		if one.fresh {
			one.before, one.latest, one.answered = one.latest, &answer.Evidence, now
		}
		m.replicas[answer.Pod] = one
	}
}

func (m *rampMeter) sorted() []*meteredReplica {
	var all []*meteredReplica
	for _, pod := range slices.Sorted(maps.Keys(m.replicas)) {
		all = append(all, m.replicas[pod])
	}
	return all
}

// slot adds up what the replicas measured of a service since the tick before.
func (m *rampMeter) slot(name string) ramp.Slot {
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
		slot.Replicas[replica.Pod] = mine
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
func (r *meteredReplica) span(name string) (before, after status.ServiceEvidence, ok bool) {
	if !r.fresh || r.before == nil || !r.before.StartedAt.Equal(r.latest.StartedAt) {
		return before, after, false
	}
	before, known := r.before.Services[name]
	after, ok = r.latest.Services[name]
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

// unserved names a ready replica that does not serve the share, and says why; "" when
// all do.
func (m *rampMeter) unserved(name string, share migration.Share, now time.Time) string {
	ready := 0
	for _, replica := range m.sorted() {
		if !replica.Ready {
			continue
		}
		ready++
		if text := replica.unserved(name, share, now); text != "" {
			return replica.Pod + " " + text
		}
	}
	if ready == 0 {
		return "no replica is ready"
	}
	return ""
}

func (r *meteredReplica) unserved(name string, share migration.Share, now time.Time) string {
	switch silent := now.Sub(r.answered); {
	case r.latest == nil && r.err != nil:
		return fmt.Sprintf("gives no evidence: %v", r.err)
	case silent > evidenceStaleAfter:
		return fmt.Sprintf("has given no evidence for %s: %v", silent.Round(time.Second), r.err)
	case r.latest == nil:
		return "has given no evidence yet"
	}
	served, ok := r.latest.Services[name]
	switch {
	case !ok:
		return "does not have the ramp yet"
	case served.Share != share.Percent():
		return fmt.Sprintf("serves %g %%, not %s %%", served.Share, share)
	}
	return ""
}

// serves tells whether a replica sends a part of the service to new.
func (m *rampMeter) serves(name string) bool {
	for _, replica := range m.replicas {
		if replica.latest != nil && replica.latest.Services[name].Share > 0 {
			return true
		}
	}
	return false
}

// minTimed is how many answers of old tell where its 99th percentile is.
const minTimed = 200

// slowBound is old's 99th percentile of the last ten minutes in seconds; 0: too few
// answers to tell.
func (m *rampMeter) slowBound(name string) float64 {
	sum, all := make([]uint64, status.LatencyBins), uint64(0)
	for _, replica := range m.replicas {
		if replica.latest == nil {
			continue
		}
		for bin, n := range replica.latest.Services[name].OldLatency {
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

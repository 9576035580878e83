package ramp

import (
	"maps"

	"github.com/migration-proxy/migration-proxy/migration"
)

// Counts are requests that chance sent to one side, and how they ended.
type Counts struct {
	Requests uint64 `json:"requests"`
	Failed   uint64 `json:"failed"`
	Slow     uint64 `json:"slow"` // slower than the bound that was fixed before the slot
}

func (c Counts) plus(other Counts) Counts {
	return Counts{c.Requests + other.Requests, c.Failed + other.Failed, c.Slow + other.Slow}
}

// Slot is what all replicas measured since the Step before, about ten seconds.
type Slot struct {
	Old, New Counts
	Timed    bool              // there were bounds, so that Slow says something
	Replicas map[string]Counts // New by replica
	Buckets  Buckets           // for strategy user_hash
}

// Buckets has the buckets of the users of a slot.
type Buckets struct {
	Seen   Bitset // with at least one request in the present epoch
	Failed Bitset // with at least one failure in it
	Slow   Bitset // with at least one slow answer in it
}

// Evidence is what was measured since the present step began.
type Evidence struct {
	Old      Counts            `json:"old"`
	New      Counts            `json:"new"`
	Failures Tally             `json:"failures"`
	Slow     Tally             `json:"slow"`
	Replicas map[string]Counts `json:"replicas,omitempty"`
	// FailedBefore and SlowBefore are buckets that have counted in this step.
	FailedBefore Bitset `json:"failed_before,omitempty"`
	SlowBefore   Bitset `json:"slow_before,omitempty"`
	// OldIll: old failed more than a fifth of the last slot's requests.
	OldIll bool `json:"old_ill,omitempty"`
}

// illRatio is the part of old's requests that fail while old itself is ill. What new
// does then says little good about it.
const illRatio, illRequests = 0.2, 20

// add takes a slot in. Each slot is a stratum of its own, so that old's failures may
// vary as they like.
func (e *Evidence) add(c Config, position migration.Share, slot Slot) {
	e.Old, e.New = e.Old.plus(slot.Old), e.New.plus(slot.New)
	if e.Replicas == nil && len(slot.Replicas) > 0 {
		e.Replicas = map[string]Counts{}
	}
	for name, counts := range slot.Replicas {
		e.Replicas[name] = e.Replicas[name].plus(counts)
	}
	e.OldIll = slot.Old.Requests >= illRequests && float64(slot.Old.Failed) > illRatio*float64(slot.Old.Requests)
	judge := c.Ramp.Judge
	failures, slow := perRequest(slot)
	if c.PerBucket {
		failures = byBucket(slot.Buckets.Seen, slot.Buckets.Failed, &e.FailedBefore, position)
		slow = byBucket(slot.Buckets.Seen, slot.Buckets.Slow, &e.SlowBefore, position)
	}
	e.Failures.add(judge.Failures, failures, !e.OldIll)
	if slot.Timed {
		e.Slow.add(judge.Slow, slow, !e.OldIll)
	}
}

// stratum is a slot in the units of the test: requests or buckets.
type stratum struct{ oldUnits, oldEvents, newUnits, newEvents float64 }

func perRequest(slot Slot) (failures, slow stratum) {
	no, nn := float64(slot.Old.Requests), float64(slot.New.Requests)
	failures = stratum{no, min(float64(slot.Old.Failed), no), nn, min(float64(slot.New.Failed), nn)}
	slow = stratum{no, min(float64(slot.Old.Slow), no), nn, min(float64(slot.New.Slow), nn)}
	return failures, slow
}

// byBucket counts the buckets that could have their first event of the step, and those
// that had it. A client that fails all the time counts once, wherever it lives: its
// later failures say nothing new about the side.
func byBucket(seen, events Bitset, before *Bitset, position migration.Share) stratum {
	var s stratum
	for bucket := range seen.all() {
		if before.Has(bucket) {
			continue
		}
		event := 0.0
		if events.Has(bucket) {
			event = 1
			before.Add(bucket)
		}
		if bucket < int(position) {
			s.newUnits, s.newEvents = s.newUnits+1, s.newEvents+event
		} else {
			s.oldUnits, s.oldEvents = s.oldUnits+1, s.oldEvents+event
		}
	}
	return s
}

// Limits of one bad replica: it has more than 80 % of new's failures, and no more than
// half of its requests.
const badFailures, badRequests = 0.8, 0.5

// badReplica is the one replica that has nearly all failures of new; "" if there is
// none. Its way to new is broken, not new.
func (e *Evidence) badReplica() string {
	failed, requests := float64(e.New.Failed), float64(e.New.Requests)
	for name, counts := range e.Replicas {
		if float64(counts.Failed) > badFailures*failed && float64(counts.Requests) <= badRequests*requests {
			return name
		}
	}
	return ""
}

func (e Evidence) clone() Evidence {
	e.Replicas = maps.Clone(e.Replicas)
	e.FailedBefore, e.SlowBefore = e.FailedBefore.clone(), e.SlowBefore.clone()
	return e
}

package accesslog

import "time"

// The window is the last minute in slots of five seconds: 2 KB per service
// that has traffic, none for one that has not. Slots of one second would be
// 9 KB, and say nothing more about a minute.
const (
	slotLength = 5 * time.Second
	slotCount  = 12
)

// window is a ring of slots; a slot is reused when its time comes round.
type window struct {
	slots [slotCount]slot
}

// slot counts the requests of one stretch of slotLength.
type slot struct {
	number   int64 // stretches since 1970
	decided  uint32
	forNew   uint32 // of the decided
	old, new sideSlot
}

type sideSlot struct {
	asked, failed uint32
	latency       [bucketCount]uint32
}

func slotNumber(now time.Time) int64 { return now.UnixNano() / int64(slotLength) }

// at gives the slot of this moment, emptied when it held an older one.
func (w *window) at(now time.Time) *slot {
	number := slotNumber(now)
	s := &w.slots[number%slotCount]
	if s.number != number {
		*s = slot{number: number}
	}
	return s
}

// sum adds up the slots of the last minute. The sum's number is 0 when there
// was nothing in them.
func (w *window) sum(now time.Time) slot {
	var total slot
	newest := slotNumber(now)
	for i := range w.slots {
		s := &w.slots[i]
		if s.number <= newest-slotCount || s.number > newest {
			continue
		}
		total.number = max(total.number, s.number)
		total.decided += s.decided
		total.forNew += s.forNew
		total.old.add(&s.old)
		total.new.add(&s.new)
	}
	return total
}

func (s *sideSlot) add(other *sideSlot) {
	s.asked += other.asked
	s.failed += other.failed
	for i, n := range other.latency {
		s.latency[i] += n
	}
}

// covered is the length of time that a sum is about: eleven whole slots and
// the one that runs, but not longer than there was someone counting. At least
// a second, so that the first request is not a thousand a second.
func covered(now, since time.Time) time.Duration {
	running := time.Duration(now.UnixNano() % int64(slotLength))
	whole := (slotCount-1)*slotLength + running
	return max(min(whole, now.Sub(since)), time.Second)
}

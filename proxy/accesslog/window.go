package accesslog

import "time"

// The window is the last minute in slots of five seconds. It takes 2 KB for a
// service with traffic, and nothing for a service without. Slots of one second
// would take 9 KB and say nothing more about a minute.
const (
	slotLength = 5 * time.Second
	slotCount  = 12
)

// window is a ring of slots; a slot is reused when its time comes round.
type window struct {
	slots [slotCount]slot
}

// slot counts the requests within one slotLength.
type slot struct {
	number     int64 // slotLengths since 1970
	decided    uint32
	decidedNew uint32 // those of decided that went to new first
	direct     uint32 // those that came in on the port for new
	old, new   sideSlot
}

type sideSlot struct {
	asked, failed uint32
	latency       [bucketCount]uint32
}

func slotNumber(now time.Time) int64 { return now.UnixNano() / int64(slotLength) }

// at gives the slot of now, emptied if it held an older time.
func (w *window) at(now time.Time) *slot {
	number := slotNumber(now)
	s := &w.slots[number%slotCount]
	if s.number != number {
		*s = slot{number: number}
	}
	return s
}

// sum adds up the slots of the last minute. The number of the sum is 0 when
// they are empty.
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
		total.decidedNew += s.decidedNew
		total.direct += s.direct
		total.old.add(&s.old)
		total.new.add(&s.new)
	}
	return total
}

// forgetDecisions begins the observed share anew; rates and latencies stay.
func (w *window) forgetDecisions() {
	for i := range w.slots {
		w.slots[i].decided, w.slots[i].decidedNew = 0, 0
	}
}

func (s *sideSlot) add(other *sideSlot) {
	s.asked += other.asked
	s.failed += other.failed
	for i, n := range other.latency {
		s.latency[i] += n
	}
}

// coveredTime is the length of time that a sum covers: eleven whole slots and
// the current one, but at most the time since counting began. It is at least a
// second, so that the first request is not a thousand a second.
func coveredTime(now, since time.Time) time.Duration {
	current := time.Duration(now.UnixNano() % int64(slotLength))
	return max(min((slotCount-1)*slotLength+current, now.Sub(since)), time.Second)
}

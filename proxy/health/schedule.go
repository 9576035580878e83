package health

import (
	"container/heap"
	"math/rand/v2"
	"time"
)

// entry is a target with what is known of it. It is in the queue, or busy
// with its probe, or neither when nobody wants it probed; so there is never
// more than one probe of it. One that is taken away while busy stays until
// that probe has ended, so that its successor waits for it too.
type entry struct {
	target     Target
	result     result
	wanted     bool // Set has named it
	demanded   bool
	busy       bool
	generation int  // of the question; a probe of an older one is not counted
	fresh      bool // the next probe is the first one
	turn       int  // which address is asked; the next after a failure
	due        time.Time
	index      int // in the queue, or notQueued
}

const notQueued = -1

// farAway is how long to sleep when nothing waits.
const farAway = time.Hour

func (e *entry) active() bool {
	return e.wanted && (!e.target.OnDemand || e.demanded)
}

// forget makes all answers so far, also one under way, meaningless.
func (e *entry) forget() {
	e.result = result{}
	e.generation++
	e.fresh = true
}

// settle puts an entry where it belongs after something has changed. Only
// here does the due time of one in the queue change.
func (c *Checker) settle(e *entry) {
	if !e.active() {
		e.forget()
	}
	waits, queued := e.active() && !e.busy, e.index != notQueued
	if waits && e.fresh {
		e.due, e.fresh = e.firstDue(), false
	}
	switch {
	case waits && queued:
		heap.Fix(&c.queue, e.index)
	case waits:
		heap.Push(&c.queue, e)
	case queued:
		heap.Remove(&c.queue, e.index)
	}
	if !e.wanted && !e.busy {
		delete(c.entries, e.target.Key)
	}
}

// firstDue spreads thousands of first probes over an interval. Who is probed
// on demand is waited for.
func (e *entry) firstDue() time.Time {
	if e.target.OnDemand {
		return time.Now()
	}
	return time.Now().Add(rand.N(max(e.target.Check.Interval, 1)))
}

// jittered is the interval, 10 % more or less.
func jittered(interval time.Duration) time.Duration {
	tenth := max(interval/10, 1)
	return interval - tenth + rand.N(2*tenth)
}

// take gives an entry whose time has come and marks it busy, or how long to
// wait for one.
func (c *Checker) take(now time.Time) (*entry, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 {
		return nil, farAway
	}
	if wait := c.queue[0].due.Sub(now); wait > 0 {
		return nil, wait
	}
	e := heap.Pop(&c.queue).(*entry)
	e.busy = true
	return e, 0
}

// queue is a container/heap of entries by due.
type queue []*entry

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push is container/heap's.
func (q *queue) Push(x any) {
	e := x.(*entry)
	e.index = len(*q)
	*q = append(*q, e)
}

// Pop is container/heap's.
func (q *queue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = nil
	*q, e.index = (*q)[:last], notQueued
	return e
}

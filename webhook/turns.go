package webhook

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// maxWaiting is how many requests of one address may wait for their turn.
const maxWaiting = 64

// usedHalfLife is after which time half of what an address has used counts no more.
const usedHalfLife = 10 * time.Second

// turns lets a number of requests be decided at the same time. Of those that wait, the
// address whose decisions took the least time of late is the next: a client with many or
// costly requests waits for itself, and not the API server for it.
type turns struct {
	mu      sync.Mutex
	free    int
	order   []netip.Addr // that wait, the last served last
	waiting map[netip.Addr][]chan struct{}
	used    map[netip.Addr]time.Duration
	halved  time.Time
}

func newTurns(number int) *turns {
	return &turns{free: number, waiting: map[netip.Addr][]chan struct{}{}, used: map[netip.Addr]time.Duration{}}
}

// wait waits for a turn. After nil the caller must call done.
func (t *turns) wait(ctx context.Context, peer netip.Addr) error {
	turn, err := t.enqueue(peer)
	if err != nil {
		return err
	}
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
		t.leave(peer, turn)
		return ctx.Err()
	}
}

func (t *turns) enqueue(peer netip.Addr) (chan struct{}, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting[peer]) >= maxWaiting {
		return nil, errBudget
	}
	turn := make(chan struct{})
	if len(t.waiting[peer]) == 0 {
		t.order = append(t.order, peer)
	}
	t.waiting[peer] = append(t.waiting[peer], turn)
	t.next()
	return turn, nil
}

// next gives free turns to those that wait.
func (t *turns) next() {
	for t.free > 0 && len(t.order) > 0 {
		peer := slices.MinFunc(t.order, func(a, b netip.Addr) int { return cmp.Compare(t.used[a], t.used[b]) })
		t.order = slices.DeleteFunc(t.order, func(one netip.Addr) bool { return one == peer })
		turn := t.waiting[peer][0]
		t.waiting[peer] = t.waiting[peer][1:]
		if len(t.waiting[peer]) > 0 {
			t.order = append(t.order, peer)
		} else {
			delete(t.waiting, peer)
		}
		t.free--
		close(turn)
	}
}

// done ends a turn that an address has had since begun.
func (t *turns) done(peer netip.Addr, begun time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	t.used[peer] += now.Sub(begun)
	if now.Sub(t.halved) > usedHalfLife {
		t.halve()
		t.halved = now
	}
	t.free++
	t.next()
}

// halve also forgets who has used next to nothing, so that used has few addresses.
func (t *turns) halve() {
	for peer := range t.used {
		if t.used[peer] /= 2; t.used[peer] < time.Millisecond {
			delete(t.used, peer)
		}
	}
}

// leave gives up waiting. A turn that came meanwhile goes to the next.
func (t *turns) leave(peer netip.Addr, turn chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.Index(t.waiting[peer], turn)
	if i < 0 {
		t.free++
		t.next()
		return
	}
	t.waiting[peer] = slices.Delete(t.waiting[peer], i, i+1)
	if len(t.waiting[peer]) == 0 {
		delete(t.waiting, peer)
		t.order = slices.DeleteFunc(t.order, func(one netip.Addr) bool { return one == peer })
	}
}

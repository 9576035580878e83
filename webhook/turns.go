package webhook

import (
	"context"
	"net/netip"
	"slices"
	"sync"
)

// maxWaiting is how many requests of one address may wait for their turn.
const maxWaiting = 64

// turns lets a number of requests be decided at the same time. Of those that wait, each
// address has its turn after the others: a client with many requests waits for itself.
type turns struct {
	mu      sync.Mutex
	free    int
	order   []netip.Addr // that wait, the next first
	waiting map[netip.Addr][]chan struct{}
}

func newTurns(number int) *turns {
	return &turns{free: number, waiting: map[netip.Addr][]chan struct{}{}}
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
		peer := t.order[0]
		t.order = t.order[1:]
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

func (t *turns) done() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.free++
	t.next()
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

package webhook

import (
	"errors"
	"net/netip"
	"sync"
)

// maxBodyBytes is the limit of one request: the API server takes objects of up
// to 3 MiB, and sends the old and the new one.
const maxBodyBytes = 7 << 20

// The limits of all requests to one webhook together. Decoding takes several times as much
// memory as the body, and the container, which also runs the watcher, has 512 MiB.
const (
	ingressBodyBytes = 4 * maxBodyBytes
	configBodyBytes  = 2 * maxBodyBytes
)

// bodyBudget limits the memory of the bodies that are read at the same time. Bytes count
// when they arrive, so a client that only announces many takes nothing. When the budget
// is used up, a request of the address that holds the most gives way, so one
// address cannot keep another out.
type bodyBudget struct {
	mu     sync.Mutex
	free   int
	held   map[netip.Addr]int // bytes
	bodies map[*heldBody]struct{}
}

// heldBody is a body of which some bytes count.
type heldBody struct {
	budget *bodyBudget
	peer   netip.Addr
	bytes  int
	giveUp func() // ends the reading
	failed bool   // giveUp was called
	kept   bool   // it is being decided, and no longer gives way
}

var errBudget = errors.New("too many requests at a time, try again")

func newBodyBudget(bytes int) *bodyBudget {
	return &bodyBudget{free: bytes, held: map[netip.Addr]int{}, bodies: map[*heldBody]struct{}{}}
}

// open registers a body. The caller must call close when it no longer needs the bytes.
func (b *bodyBudget) open(peer netip.Addr, giveUp func()) *heldBody {
	body := &heldBody{budget: b, peer: peer, giveUp: giveUp}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bodies[body] = struct{}{}
	return body
}

// keep ends that the body may give way. It fails if it has given way before.
func (h *heldBody) keep() error {
	h.budget.mu.Lock()
	defer h.budget.mu.Unlock()
	h.kept = true
	if h.failed {
		return errBudget
	}
	return nil
}

func (h *heldBody) close() {
	h.budget.mu.Lock()
	defer h.budget.mu.Unlock()
	h.budget.give(h)
	delete(h.budget.bodies, h)
}

// give takes the bytes of a body back.
func (b *bodyBudget) give(h *heldBody) {
	b.free += h.bytes
	b.held[h.peer] -= h.bytes
	if b.held[h.peer] == 0 {
		delete(b.held, h.peer)
	}
	h.bytes = 0
}

// grow counts n more bytes of the body. It fails if the body must give way to others, or
// others have made it give way.
func (h *heldBody) grow(n int) error {
	b := h.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	for !h.failed && b.free < n {
		loser := b.largest(h, n)
		loser.failed = true
		b.give(loser)
		if loser != h {
			loser.giveUp()
		}
	}
	if h.failed {
		return errBudget
	}
	b.free, h.bytes, b.held[h.peer] = b.free-n, h.bytes+n, b.held[h.peer]+n
	return nil
}

// largest is the largest body of the address that would hold the most if grown had n more.
func (b *bodyBudget) largest(grown *heldBody, n int) *heldBody {
	would := func(peer netip.Addr) int {
		if peer == grown.peer {
			return b.held[peer] + n
		}
		return b.held[peer]
	}
	loser := grown
	for body := range b.bodies {
		most, own := would(loser.peer), would(body.peer)
		if !body.failed && !body.kept && (own > most || own == most && body.peer == loser.peer && body.bytes > loser.bytes) {
			loser = body
		}
	}
	return loser
}

package resolve

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/migration-proxy/migration-proxy/migration"
)

// cachedName is what the Resolver knows about one name.
type cachedName struct {
	lastSeen map[netip.Addr]time.Time // time of the last answer with the address
	returned map[netip.Addr]time.Time // when the address came back after an answer without it
	answered time.Time                // time of the last good answer
	asked    time.Time                // time of the last lookup
	err      error                    // of the last lookup
}

func newCachedName() *cachedName {
	return &cachedName{lastSeen: map[netip.Addr]time.Time{}, returned: map[netip.Addr]time.Time{}}
}

// manyReturns is the number of addresses that must have come back for a name to
// rotate. One alone may be a pod that was not ready for a moment.
const manyReturns = 3

// addAnswer stores a good answer and drops the addresses that were last seen
// a linger time ago. With a linger of 60 s:
//
//	answer at  0 s: a, b   ->  a, b
//	answer at 10 s: b      ->  a, b
//	answer at 60 s: b      ->  b
//
// If the server rotates, which manyReturns tell, an address lingers for
// LingerRotating, and newcomers are left out while MaxRotating addresses are there.
func (n *cachedName) addAnswer(addrs []netip.Addr, now time.Time, o Options) {
	n.err = nil
	for _, addr := range addrs {
		addr = addr.Unmap()
		last, known := n.lastSeen[addr]
		if known && last.Before(n.answered) {
			n.returned[addr] = now
		}
		if known || !n.rotates() || len(n.lastSeen) < o.MaxRotating {
			n.lastSeen[addr] = now
		}
	}
	n.answered = now
	dropOlder(n.returned, now, o.LingerRotating)
	if n.rotates() {
		dropOlder(n.lastSeen, now, o.LingerRotating)
		return
	}
	dropOlder(n.lastSeen, now, o.Linger)
}

func (n *cachedName) rotates() bool { return len(n.returned) >= manyReturns }

func dropOlder(times map[netip.Addr]time.Time, now time.Time, age time.Duration) {
	maps.DeleteFunc(times, func(_ netip.Addr, last time.Time) bool { return now.Sub(last) >= age })
}

// lingering lists the addresses that the last answer did not have.
func (n *cachedName) lingering() []netip.Addr {
	var addrs []netip.Addr
	for addr, last := range n.lastSeen {
		if last.Before(n.answered) {
			addrs = append(addrs, addr)
		}
	}
	return addrs
}

// dropLingering drops an address unless an answer had it meanwhile.
func (n *cachedName) dropLingering(addr netip.Addr) bool {
	last, known := n.lastSeen[addr]
	if !known || !last.Before(n.answered) {
		return false
	}
	delete(n.lastSeen, addr)
	delete(n.returned, addr)
	return true
}

// addTo writes the addresses and the error of the name to a backend's result.
func (n *cachedName) addTo(result Result, backend migration.Backend) {
	if n.err != nil {
		result.Errors[backend] = n.err
	}
	if len(n.lastSeen) == 0 {
		return
	}
	var endpoints []netip.AddrPort
	for _, addr := range slices.SortedFunc(maps.Keys(n.lastSeen), netip.Addr.Compare) {
		endpoints = append(endpoints, netip.AddrPortFrom(addr, backend.Port))
	}
	result.Endpoints[backend] = endpoints
}

package resolve

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/migration-proxy/migration-proxy/migration"
)

// name is what is remembered of one name.
type name struct {
	seen map[netip.Addr]time.Time // when an answer last had it
	err  error                    // of the last lookup
}

// answer takes a good answer in. With a linger of 60 s: answers a, b at 0 s and
// b at 10 s give a and b until, after 60 s, an answer comes without a again.
func (n *name) answer(addrs []netip.Addr, now time.Time, linger time.Duration) {
	n.err = nil
	for _, addr := range addrs {
		n.seen[addr.Unmap()] = now
	}
	maps.DeleteFunc(n.seen, func(_ netip.Addr, last time.Time) bool { return now.Sub(last) >= linger })
}

// enter writes the name's addresses and error down for a backend.
func (n *name) enter(snapshot Snapshot, backend migration.Backend) {
	if n.err != nil {
		snapshot.Errors[backend] = n.err
	}
	if len(n.seen) == 0 {
		return
	}
	var endpoints []netip.AddrPort
	for _, addr := range slices.SortedFunc(maps.Keys(n.seen), netip.Addr.Compare) {
		endpoints = append(endpoints, netip.AddrPortFrom(addr, backend.Port))
	}
	snapshot.Endpoints[backend] = endpoints
}

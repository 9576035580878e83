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
	err      error                    // of the last lookup
}

// addAnswer stores a good answer and drops the addresses that were last seen
// a linger time ago. With a linger of 60 s:
//
//	answer at  0 s: a, b   ->  a, b
//	answer at 10 s: b      ->  a, b
//	answer at 60 s: b      ->  b
func (n *cachedName) addAnswer(addrs []netip.Addr, now time.Time, linger time.Duration) {
	n.err = nil
	for _, addr := range addrs {
		n.lastSeen[addr.Unmap()] = now
	}
	maps.DeleteFunc(n.lastSeen, func(_ netip.Addr, last time.Time) bool { return now.Sub(last) >= linger })
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

package listen

import (
	"fmt"
	"net/netip"

	"github.com/migration-proxy/migration-proxy/internal/names"
)

// Flag is an address and the name of the flag that gives it.
type Flag struct {
	Name    string
	Address Address
}

// Distinct refuses two flags that name the same port, unless each has an address
// of its own. The kernel would refuse the second one with "address already in
// use", which looks like the fault of another process.
func Distinct(flags ...Flag) error {
	for i, second := range flags {
		for _, first := range flags[:i] {
			if first.Address.overlaps(second.Address) {
				return sameAddress(first, second)
			}
		}
	}
	return nil
}

// DistinctPorts refuses two flags that name the same port, whatever their
// addresses are.
func DistinctPorts(first, second Flag) error {
	if first.Address.Port() == second.Address.Port() {
		return sameAddress(first, second)
	}
	return nil
}

func sameAddress(first, second Flag) error {
	return fmt.Errorf("--%s %s and --%s %s have the same port; choose another with --%s or $%s",
		first.Name, first.Address, second.Name, second.Address, second.Name, names.EnvironmentVariable(second.Name))
}

// overlaps tells whether only one of two sockets can listen.
func (a Address) overlaps(b Address) bool {
	return a.Port() == b.Port() && (a.covers(b) || b.covers(a))
}

// covers tells whether a socket on a takes the connections of b's address. A
// socket of Go on [::] takes IPv4 too.
func (a Address) covers(b Address) bool {
	switch ip := a.Addr().Unmap(); {
	case a.All, ip == netip.IPv6Unspecified():
		return true
	case ip == netip.IPv4Unspecified():
		return b.Addr().Unmap().Is4()
	default:
		return ip == b.Addr().Unmap()
	}
}

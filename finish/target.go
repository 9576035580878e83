package finish

import "net/netip"

// newTarget is the record that leads to a name or an address.
func newTarget(host string) (kind, target string) {
	address, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return "CNAME", host + "."
	case address.Is4():
		return "A", address.String()
	}
	return "AAAA", address.String()
}

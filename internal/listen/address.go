package listen

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// Address is where a program listens: ":8000" is port 8000 of all addresses,
// "127.0.0.1:8000" and "[::1]:8000" are one address.
type Address struct {
	netip.AddrPort
	// All means all addresses of the machine, also IPv6 where it has IPv6. The
	// IP address of AddrPort is then 0.0.0.0.
	All bool
}

// OnAll is the port on all addresses.
func OnAll(port uint16) Address {
	return Address{netip.AddrPortFrom(netip.IPv4Unspecified(), port), true}
}

// OnLoopback is the port on 127.0.0.1, which only this machine reaches.
func OnLoopback(port uint16) Address {
	return Address{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port), false}
}

// Set reads the text of a flag.
func (a *Address) Set(text string) error {
	host, portText, err := net.SplitHostPort(text)
	if err != nil {
		return errors.New("write :PORT or ADDRESS:PORT")
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || port == 0 {
		return fmt.Errorf("port %q is not a number from 1 to 65535", portText)
	}
	if host == "" {
		*a = OnAll(uint16(port))
		return nil
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return fmt.Errorf("%q is not an IP address", host)
	}
	*a = Address{netip.AddrPortFrom(ip, uint16(port)), false}
	return nil
}

// String is the address in the form that Set reads.
func (a Address) String() string {
	if a.All {
		return fmt.Sprintf(":%d", a.Port())
	}
	return a.AddrPort.String()
}

// Type is the placeholder of the value in the help of a flag.
func (a Address) Type() string { return "address" }

package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/migration-proxy/migration-proxy/internal/names"
)

// listenAddress is a flag: ":8000" is port 8000 of every address,
// "127.0.0.1:8000" and "[::1]:8000" of one.
type listenAddress struct {
	netip.AddrPort
	everywhere bool // IPv6 too, where the machine has it
}

// listenOn is the default of a flag.
func listenOn(port uint16) listenAddress {
	return listenAddress{netip.AddrPortFrom(netip.IPv4Unspecified(), port), true}
}

// Set reads the flag.
func (a *listenAddress) Set(text string) error {
	host, portText, err := net.SplitHostPort(text)
	if err != nil {
		return errors.New("write :PORT or ADDRESS:PORT")
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || port == 0 {
		return fmt.Errorf("port %q is not a number from 1 to 65535", portText)
	}
	if host == "" {
		*a = listenOn(uint16(port))
		return nil
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return fmt.Errorf("%q is not an IP address", host)
	}
	*a = listenAddress{netip.AddrPortFrom(addr, uint16(port)), false}
	return nil
}

// String is the address as Set reads it.
func (a *listenAddress) String() string {
	if a.everywhere {
		return fmt.Sprintf(":%d", a.Port())
	}
	return a.AddrPort.String()
}

// Type is what the help calls the value.
func (a *listenAddress) Type() string { return "address" }

// listeners are the two ports that carry traffic.
type listeners struct{ listen, listenNew listenAddress }

func (l *listeners) flags(cmd *cobra.Command) {
	l.listen, l.listenNew = listenOn(names.TrafficTargetPort), listenOn(names.NewPort)
	cmd.Flags().Var(&l.listen, "listen", "where traffic comes in")
	cmd.Flags().Var(&l.listenNew, "listen-new", "where traffic comes in that goes to new, always")
}

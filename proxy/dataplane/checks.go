package dataplane

import (
	"cmp"
	"errors"
	"net"
	"net/netip"
	"path/filepath"

	"github.com/migration-proxy/migration-proxy/internal/listen"
)

// checkFlags refuses listeners that exclude one another. nginx tells those of
// traffic apart by their port, so these need ports of their own on any addresses.
func checkFlags(o *Options) error {
	traffic, direct := listen.Flag{Name: "listen", Address: o.Listen}, listen.Flag{Name: "listen-new", Address: o.ListenNew}
	grpc := listen.Flag{Name: "listen-grpc", Address: o.ListenGRPC}
	err := cmp.Or(listen.DistinctPorts(traffic, direct), listen.DistinctPorts(traffic, grpc), listen.DistinctPorts(direct, grpc))
	if err != nil {
		return err
	}
	return listen.Distinct(traffic, direct, grpc, listen.Flag{Name: "http", Address: o.HTTP})
}

// checkPorts reports at once what nginx would only write to its log. The ports
// are not checked when an nginx of a killed agent still has them: the agent
// takes it over. The port for gRPC is not checked either: nginx listens on it only
// if a service needs it.
func checkPorts(o *Options) error {
	if err := checkFlags(o); err != nil {
		return err
	}
	if conn, err := net.Dial("unix", filepath.Join(o.RuntimeDir, "admin.sock")); err == nil {
		return conn.Close()
	}
	return errors.Join(listen.Check(o.Listen, "listen"), listen.Check(o.ListenNew, "listen-new"))
}

// ownAddresses are the addresses of this machine, by which a backend may be this
// proxy. Without them only loopback addresses are known.
func ownAddresses() []netip.Addr {
	networks, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var own []netip.Addr
	for _, network := range networks {
		if prefix, err := netip.ParsePrefix(network.String()); err == nil {
			own = append(own, prefix.Addr().Unmap())
		}
	}
	return own
}

// hasIPv6 reports whether sockets can listen on IPv6; in containers they often
// cannot.
func hasIPv6() bool {
	listener, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		return false
	}
	return listener.Close() == nil
}

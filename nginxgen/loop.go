package nginxgen

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"strings"

	"github.com/migration-proxy/migration-proxy/migration"
)

// loopHeader marks requests to backends that may lead back to a proxy of this
// installation. Its value has an element ID/SERVER for each of our servers that the
// request has passed. See ADR 24.
const loopHeader = "Migration-Proxy-Loop"

// loopMark is the value of loopHeader for the next backend.
func (d *draft) loopMark() string {
	return "$http_migration_proxy_loop " + d.loopID + "/$server_name"
}

// loopID is equal in all replicas with the same backends, and differs between
// installations that stand behind each other.
func loopID(table *migration.Table) string {
	hash := fnv.New64a()
	for _, s := range table.Services() {
		fmt.Fprintln(hash, s.Name, s.OldHost, s.PathPrefix, s.OldBackend, s.NewHost, s.NewBackend)
	}
	return fmt.Sprintf("%016x", hash.Sum64())
}

// loopMaps finds requests that have passed the same server before. Without the header
// nginx asks no expression.
func (d *draft) loopMaps() directives {
	return directives{
		mapping("$http_migration_proxy_loop", "$mp_loops", "", "", "default", "$mp_passed_before"),
		mapping("$server_name $http_migration_proxy_loop", "$mp_passed_before",
			`~\A(\S+) (?:.*[ ,])?`+d.loopID+`/\1(?:[ ,]|\z)`, "1",
			`~\A (?:.*[ ,])?`+d.loopID+"/", "1", // the server of unknown hosts has no name
			"default", ""),
	}
}

// refuseLoop ends a request that came back.
func refuseLoop() *directive {
	return block("if", []string{"$mp_loops"}, directives{line("return", "508",
		"migration-proxy: the request came back to this proxy: a backend of the service leads to it\n")})
}

// mayLoop tells whether requests with our mark may reach the server of an old host: it
// is the host of requests to new, or its services mark those to old. The other servers
// need not ask.
func (d *draft) mayLoop(services []*migration.Service) bool {
	host := services[0].OldHost
	return slices.ContainsFunc(services, leadsOut) || d.newHosts[host] || host.Wildcard() && d.any(func(s *migration.Service) bool {
		return strings.HasSuffix(string(s.NewHost), string(host[1:]))
	})
}

// leadsOut tells whether requests to old may come back through a load balancer, also one
// with a private address, or have the name of a proxy Service. Only those are marked: an
// old Service in the cluster, or on this machine, gets what it gets without the proxy.
func leadsOut(s *migration.Service) bool {
	backend := s.OldBackend
	if addr, ok := backend.Addr(); ok {
		return !addr.IsLoopback() && !addr.IsLinkLocalUnicast()
	}
	labels := strings.Split(backend.Host, ".")
	return strings.HasPrefix(backend.Host, "migration-proxy") || backend.Host == string(s.OldHost) ||
		len(labels) > 2 && !slices.Contains(labels, "svc") && labels[len(labels)-1] != "local"
}

// IsOwn tells whether an address of a backend is one that nginx itself listens on.
func (p Params) IsOwn(address netip.AddrPort) bool {
	return slices.ContainsFunc([]netip.AddrPort{p.Listen, p.ListenNew, p.ListenGRPC}, func(at netip.AddrPort) bool {
		if !at.IsValid() || at.Port() != address.Port() {
			return false
		}
		anywhere := at.Addr().IsUnspecified() && (address.Addr().IsLoopback() || slices.Contains(p.Addresses, address.Addr()))
		return at.Addr() == address.Addr() || anywhere
	})
}

// serverAddress is the address of a backend for nginx.
func (d *draft) serverAddress(address netip.AddrPort) string {
	if d.params.IsOwn(address) {
		return "unix:" + d.path("loop.sock")
	}
	return address.String()
}

// loopServer answers for backends with an address of our own, so that such a request
// does not even come back once. It is a unix socket that no client can reach.
func (d *draft) loopServer() directives {
	if !d.hasOwnAddress() {
		return nil
	}
	return directives{block("server", nil, directives{
		line("listen", "unix:"+d.path("loop.sock")),
		line("access_log", "off"),
		line("return", "508", "migration-proxy: this address is the proxy itself: correct the backend of the service\n"),
	})}
}

func (d *draft) hasOwnAddress() bool {
	return d.any(func(s *migration.Service) bool {
		return slices.ContainsFunc(d.endpoints[s.OldBackend], d.params.IsOwn) || slices.ContainsFunc(d.endpoints[s.NewBackend], d.params.IsOwn)
	})
}

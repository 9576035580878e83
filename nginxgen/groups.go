package nginxgen

import (
	"fmt"
	"hash/fnv"

	"github.com/migration-proxy/migration-proxy/migration"
)

// group is an upstream block. Services whose blocks would do the same share one: each
// costs memory, and nginx walks over all of them at each proxy_pass, see ADR 44.
type group struct {
	name      string
	servers   directives
	keepalive migration.Keepalive
	written   bool
}

// mostIdle limits the idle connections of a shared group, which otherwise has as many as
// its services together.
const mostIdle = 1024

// backendOf is one side of a service.
type backendOf struct {
	service migration.Name
	side    migration.Side
}

// findGroups gives the group of each side of all services.
func (d *draft) findGroups() map[backendOf]*group {
	all, byKey := map[backendOf]*group{}, map[string]*group{}
	services := d.table.Services()
	for i := range services {
		for _, side := range []migration.Side{migration.Old, migration.New} {
			g, key := d.newGroup(&services[i], side)
			if equal, ok := byKey[key]; ok {
				more := equal.keepalive.Connections + g.keepalive.Connections
				equal.keepalive.Connections = max(equal.keepalive.Connections, min(more, mostIdle))
				g = equal
			}
			byKey[key] = g
			all[backendOf{services[i].Name, side}] = g
		}
	}
	return all
}

// newGroup gives the group that a service would have alone, and a key that equal groups
// share. nginx reuses an idle connection by address only, whatever the TLS server name
// was. So groups with TLS are equal only if their names are, and where the old host is a
// wildcard, each connection serves one request.
//
// A group that sets failed addresses aside, or has none, is its service's alone: the
// failures of one service must not take addresses from another.
func (d *draft) newGroup(s *migration.Service, side migration.Side) (*group, string) {
	backend, servers, keepalive, tls := s.NewBackend, d.addressesOfNew(s), s.Keepalive, fmt.Sprint(s.ServerName(), s.TLS)
	if side == migration.Old {
		backend, servers, tls = s.OldBackend, d.addresses(s.OldBackend, s.Tries), string(s.OldHost)
	}
	addresses, alone := len(d.endpoints[backend]), migration.Name("")
	if addresses == 0 || addresses > s.Tries {
		alone = s.Name
	}
	if backend.Scheme != migration.HTTPS {
		tls = ""
	} else if side == migration.Old && s.OldHost.Wildcard() {
		keepalive.Requests = 1 // older nginx does not know "keepalive 0"
	}
	key := fmt.Sprintln(side, backend.Scheme, s.GRPC(), tls, keepalive, alone)
	for _, server := range servers {
		key += fmt.Sprintln(server.Args)
	}
	return &group{name: groupName(s, side), servers: servers, keepalive: keepalive}, key
}

// groupName begins with a hash: nginx finds a name by comparing it with all others from
// the first character on, and names of services often begin alike.
func groupName(s *migration.Service, side migration.Side) string {
	hash := fnv.New32a()
	hash.Write([]byte(s.Name))
	return fmt.Sprintf("%03x.%s.%s", hash.Sum32()&0xfff, s.Name, side)
}

// upstreams gives the upstream blocks that a service is the first to use.
func (d *draft) upstreams(s *migration.Service) directives {
	var blocks directives
	for _, side := range []migration.Side{migration.Old, migration.New} {
		if g := d.groups[backendOf{s.Name, side}]; !g.written {
			g.written = true
			blocks = append(blocks, block("upstream", []string{g.name}, g.servers, keepalive(g.keepalive)))
		}
	}
	return blocks
}

// proxyPass gives the URL by which a location asks a side of a service.
func (d *draft) proxyPass(s *migration.Service, side migration.Side) string {
	scheme := s.NewBackend.Scheme
	if side == migration.Old {
		scheme = s.OldBackend.Scheme
	}
	return string(scheme) + "://" + d.groups[backendOf{s.Name, side}].name
}

package nginxgen

import (
	"slices"

	"github.com/migration-proxy/migration-proxy/migration"
)

// The sockets on which this machine alone asks one side of a service, as traffic asks it:
// with the Host, server name, headers, timeouts and translation of the service. They
// exist if at least one service is compared.
const (
	CompareOldSocket = "compare-old.sock"
	CompareNewSocket = "compare-new.sock"
)

// CompareHeader is in answers of new on CompareNewSocket, and tells how nginx asked it:
// "STATUS;CONNECT_TIME;HEADER_TIME", each with a list of all tries. Without the time of a
// header the answer is nginx's own.
const CompareHeader = "X-Migration-Compare"

// compared tells whether a service has the two sockets.
func (d *draft) compared(s *migration.Service) bool {
	return !s.GRPC() && (d.params.Compare || s.Compare != nil && s.Compare.Continuous)
}

// listenCompare gives the listen lines of a server with a compared service.
func (d *draft) listenCompare(services []*migration.Service) directives {
	if !d.params.Compare && !slices.ContainsFunc(services, d.compared) {
		return nil
	}
	return d.compareSockets()
}

// compareDefaults gives the listen lines of the server of unknown hosts.
func (d *draft) compareDefaults() directives {
	if !d.comparesAny {
		return nil
	}
	return d.compareSockets("default_server")
}

func (d *draft) compareSockets(options ...string) directives {
	var lines directives
	for _, name := range []string{CompareOldSocket, CompareNewSocket} {
		lines = append(lines, line("listen", append([]string{"unix:" + d.path(name)}, options...)...))
	}
	return lines
}

// compareMaps gives the maps of the compared services. A unix socket has no port, so the
// token of a request by one of the sockets is $mp_compared. No file has its name: the
// request leaves the location where it enters, as one to old does, and $mp_beside says
// where it goes.
func (d *draft) compareMaps() directives {
	if !d.comparesAny {
		return nil
	}
	lines := directives{
		mapping("$server_addr", "$mp_compared",
			"unix:"+d.path(CompareNewSocket), comparedToken(migration.New), "default", comparedToken(migration.Old)),
		mapping("$mp_token", "$mp_beside", comparedToken(migration.New), "@compare", "default", "@old"),
	}
	if d.params.BehindControllers {
		return lines
	}
	// A unix socket has no address that an application could read: who asks by it names
	// the client, and is believed.
	return append(lines,
		mapping("$remote_addr", "$mp_peer_ip", "unix:", "$http_x_real_ip", "default", "$remote_addr"),
		mapping("$remote_addr", "$mp_peer_for", "unix:", "$http_x_forwarded_for", "default", "$proxy_add_x_forwarded_for"))
}

func comparedToken(side migration.Side) string {
	return string(side) + "/" + string(migration.ReasonCompare)
}

// toOld is where a request goes whose token has no file.
func (d *draft) toOld() string {
	if d.comparesAny {
		return "$mp_beside"
	}
	return "@old"
}

// compareLocation asks new as the location where requests enter does, and gives its
// answer whatever it is: old does not answer in its place.
func (d *draft) compareLocation(s *migration.Service) directives {
	if !d.compared(s) {
		return nil
	}
	lines := append(d.proxyToNew(s, s.Timeout), line("proxy_request_buffering", "off"))
	if !s.Sticky() { // otherwise the location has them: one that adds a header inherits none
		lines = append(lines, append(d.addedHeaders(), d.addTranslated()...)...)
	}
	lines = append(lines, line("add_header", CompareHeader,
		"$upstream_status;$upstream_connect_time;$upstream_header_time", "always"))
	return directives{block("location", []string{"@compare." + string(s.Name)}, lines)}
}

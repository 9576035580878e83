package nginxgen

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/migration-proxy/migration-proxy/migration"
)

// quietStream is how long a client may send nothing in a stream that stays open.
// The backends and the ingress controller limit it; nginx's 60 s would end streams
// that today's clients keep.
const quietStream = "24h"

// grpcStreams is how many requests one connection of a client may have at once. A
// client with more than nginx's 128 long-lived streams would wait for ever.
const grpcStreams = "1024"

// inGRPC are the directives of nginx's proxy module, without proxy_, that its gRPC
// module has too. ssl_* are more of them.
var inGRPC = []string{
	"pass", "set_header", "pass_header", "hide_header", "ignore_headers", "buffer_size",
	"connect_timeout", "send_timeout", "read_timeout", "next_upstream", "next_upstream_tries", "next_upstream_timeout",
}

// grpcTwins gives the directives of the gRPC module that say the same as those of
// the proxy module: grpc_read_timeout for proxy_read_timeout. All other directives
// are left out.
func grpcTwins(lines directives) directives {
	var twins directives
	for _, l := range lines {
		if twin := grpcTwin(l); twin != nil {
			twins = append(twins, twin)
		}
	}
	return twins
}

func grpcTwin(l *directive) *directive {
	name, isProxy := strings.CutPrefix(l.Directive, "proxy_")
	if !isProxy || !slices.Contains(inGRPC, name) && !strings.HasPrefix(name, "ssl_") {
		return nil
	}
	args := slices.Clone(l.Args)
	switch {
	case name == "set_header" && (args[0] == "Connection" || args[0] == "Upgrade"):
		return nil // HTTP/2 has no such headers
	case name == "pass":
		args[0] = "grpc" + strings.TrimPrefix(args[0], "http")
	}
	return line("grpc_"+name, args...)
}

// byProtocol gives the body of a location: that of the proxy module, or the same for
// the gRPC module and more lines, which replace those of the same name.
func (d *draft) byProtocol(s *migration.Service, body directives, more ...directives) directives {
	if !s.GRPC() {
		return body
	}
	var lines directives
	replaced := slices.Concat(more...)
	for _, l := range body {
		twin := grpcTwin(l)
		switch {
		case twin != nil && slices.ContainsFunc(replaced, func(r *directive) bool { return r.Directive == twin.Directive }):
		case twin != nil:
			lines = append(lines, twin)
		case !strings.HasPrefix(l.Directive, "proxy_"):
			lines = append(lines, l)
		}
	}
	lines = append(lines, line("client_body_timeout", quietStream))
	lines = append(lines, d.accessLogs("migration_grpc", "migration_grpc", "$mp_urgent_grpc")...)
	return append(lines, replaced...)
}

// drainValue is the variable that asks a client to reconnect. HTTP/2 has no such
// header: nginx ends its connections with a GOAWAY frame.
func (d *draft) drainValue() string {
	if d.usesGRPC {
		return "$mp_drain_1"
	}
	return "$mp_drain"
}

// grpcMaps gives the maps of gRPC, and the format of its access log. A call that
// fails has HTTP status 200, and its own status comes in a trailer, or in a header
// if there is no message.
func (d *draft) grpcMaps() directives {
	if !d.usesGRPC {
		return nil
	}
	var pairs []string
	for _, code := range d.failingCodes() {
		pairs = append(pairs, "new_backend "+strconv.Itoa(code), "1")
	}
	return directives{
		mapping("$server_protocol", "$mp_drain_1", "HTTP/2.0", "", "default", "$mp_drain"),
		line("log_format", "migration_grpc", logFormat+` grpc_status="$mp_grpc_status"`),
		mapping("$upstream_http_grpc_status", "$mp_grpc_status", "", "$upstream_trailer_grpc_status", "default", "$upstream_http_grpc_status"),
		mapping("$mp_backend $mp_grpc_status", "$mp_urgent_grpc", append(pairs, "default", "$mp_urgent")...),
	}
}

// failingCodes are the codes of gRPC that some service counts as failures.
func (d *draft) failingCodes() []int {
	var codes []int
	for _, s := range d.table.Services() {
		if !s.GRPC() {
			continue
		}
		for _, status := range s.Fallback.OnStatus {
			codes = append(codes, migration.GRPCCodes(status)...)
		}
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}

// listenGRPC gives the listen lines for HTTP/2 of a server that has a service for it.
func (d *draft) listenGRPC(services []*migration.Service, options ...string) directives {
	if !slices.ContainsFunc(services, (*migration.Service).GRPC) {
		return nil
	}
	return append(d.listenHTTP2(options...), d.http2On()...)
}

func (d *draft) listenHTTP2(options ...string) directives {
	if !d.params.Version.detectsHTTP2() {
		options = append([]string{"http2"}, options...)
	}
	return d.listenOn([]netip.AddrPort{d.params.ListenGRPC}, options...)
}

// http2On makes a server take HTTP/2. Of the servers of a port the default one decides
// whether the port does, so those without HTTP/2 are not changed.
func (d *draft) http2On() directives {
	if !d.params.Version.detectsHTTP2() {
		return nil // the listen lines say it
	}
	return directives{line("http2", "on")}
}

// unknownHostGRPC is unknownHostServer for the port of gRPC.
func (d *draft) unknownHostGRPC() directives {
	if !d.usesGRPC {
		return nil
	}
	return directives{block("server", nil, d.listenHTTP2("default_server"), d.http2On(), directives{
		line("http2_max_concurrent_streams", grpcStreams),
		line("return", "421", "migration-proxy: no service has this host\n"),
	})}
}

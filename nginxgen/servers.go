package nginxgen

import (
	"net/netip"
	"strconv"
	"time"

	crossplane "github.com/nginxinc/nginx-go-crossplane"

	"github.com/migration-proxy/migration-proxy/migration"
)

// directive is one nginx directive with its block.
type directive = crossplane.Directive

// adminServer answers which config the workers serve, and whether a token of a
// service means new (200) or old (404): it looks for the same file as entryLocation
// does. It listens on a unix socket in the runtime directory, which no client can
// reach. The answer to /hop takes a second connection, as that to a client does, so
// that the agent learns when nginx has none left.
func (d *draft) adminServer() directives {
	socket := "unix:" + d.path("admin.sock")
	return directives{block("server", nil, directives{
		line("listen", socket),
		line("access_log", "off"),
		block("location", []string{"=", "/digest"}, directives{line("return", "200", digestMark+"\n")}),
		block("location", []string{"=", "/hop"}, directives{
			line("proxy_pass", "http://"+socket+":/digest"),
			line("proxy_set_header", "Host", "admin"),
			// An idle connection would be used again, and hide that no other is free.
			line("proxy_set_header", "Connection", "close"),
			// Less than the agent waits. A worker without descriptors does not accept.
			line("proxy_read_timeout", "900ms"),
		}),
		block("location", []string{"~", `\A/side/(?<mp_asked_service>[^/]+)/(?<mp_asked_token>.+)\z`}, directives{
			line("try_files", "/$mp_asked_service/safe/$mp_asked_token", "=404"),
		}),
		block("location", []string{"/"}, directives{line("return", "404")}),
	})}
}

// unknownHostServer answers 421 for hosts that no service has. It also sets every
// variable that locations set: nginx refuses a config that reads a variable
// which no directive sets, and a table may have no service.
func (d *draft) unknownHostServer() directives {
	variables := directives{}
	for _, name := range []string{"service", "salt", "keeps_origin", "token", "backend", "host", "server_name", "strategy", "state", "drain"} {
		variables = append(variables, line("set", "$mp_"+name, ""))
	}
	// There is no server_name: even "_" may be the host of a service.
	return directives{block("server", nil, d.listen("default_server"), d.compareDefaults(), variables,
		directives{refuseLoop(), line("return", "421", "migration-proxy: no service has this host\n")})}
}

// listen gives the listen lines of a server: both ports, on each family.
func (d *draft) listen(options ...string) directives {
	return d.listenOn([]netip.AddrPort{d.params.Listen, d.params.ListenNew}, options...)
}

func (d *draft) listenOn(addresses []netip.AddrPort, options ...string) directives {
	lines := directives{}
	for _, at := range addresses {
		if !at.IsValid() {
			continue
		}
		lines = append(lines, line("listen", append([]string{at.String()}, options...)...))
		if d.params.IPv6 && at.Addr() == netip.IPv4Unspecified() {
			port := "[::]:" + strconv.Itoa(int(at.Port()))
			lines = append(lines, line("listen", append([]string{port}, options...)...))
		}
	}
	return lines
}

// servers gives one server per old host, after the upstreams of its services:
// nginx searches an upstream in all those written before, from the first on, so
// the order makes nginx -t faster.
func (d *draft) servers() directives {
	all := directives{}
	for _, services := range d.byHost() {
		for _, s := range services {
			all = append(all, d.upstreams(s)...)
			all = append(all, d.standbyServer(s)...)
		}
		all = append(all, d.server(services))
	}
	return all
}

// byHost groups the services by old host, in the order of the first name.
func (d *draft) byHost() [][]*migration.Service {
	var groups [][]*migration.Service
	index := map[migration.Host]int{}
	services := d.table.Services()
	for i := range services {
		s := &services[i]
		at, ok := index[s.OldHost]
		if !ok {
			at = len(groups)
			index[s.OldHost] = at
			groups = append(groups, nil)
		}
		groups[at] = append(groups[at], s)
	}
	return groups
}

// server gives the server block of one old host.
func (d *draft) server(services []*migration.Service) *directive {
	body := append(d.listen(), d.listenGRPC(services)...)
	body = append(body, d.listenCompare(services)...)
	body = append(body, line("server_name", string(services[0].OldHost)))
	if d.params.Version.NeedsDrain() {
		body = append(body, d.drain())
	}
	body = append(body, d.cacheSwitch(services)...)
	if d.mayLoop(services) {
		body = append(body, refuseLoop())
	}
	body = append(body, onlyService(services)...)
	if d.sharesContext(services[0]) {
		body = append(body, d.serviceTLS(services[0])...)
	}
	whole := false
	for _, s := range services {
		whole = whole || s.PathPrefix == "/"
		body = append(body, d.locations(s)...)
	}
	if !whole {
		body = append(body, d.looseLocations(services[0].OldHost)...)
		body = append(body, block("location", []string{"/"}, directives{
			line("return", "404", "migration-proxy: no service has this path\n")}))
	}
	return block("server", nil, body)
}

// onlyService names the service of a host before nginx looks at the length of the body:
// when it refuses it, no directive of a location has run, and the line in the access log
// would have no service. Where services share a host, this line has none.
func onlyService(services []*migration.Service) directives {
	s := services[0]
	if len(services) > 1 || s.PathPrefix != "/" || s.MaxBodyBytes == 0 {
		return nil
	}
	return directives{line("set", "$mp_service", string(s.Name))}
}

// looseLocations are where requests enter that no path prefix covers, see
// migration.Table.Route. nginx asks expressions in the order of the config, and
// only if the longest prefix is not one with ^~.
func (d *draft) looseLocations(host migration.Host) directives {
	lines := directives{}
	for _, s := range d.table.OfHost(host) {
		expression := `\A` + migration.LiteralPCRE(string(s.PathPrefix))
		lines = append(lines, block("location", []string{"~*", expression}, d.entryLocation(s)))
	}
	return lines
}

// drain makes the workers of this config send "Connection: close" while the agent
// is about to replace them, see Version.NeedsDrain.
func (d *draft) drain() *directive {
	return block("if", []string{"!-f", d.path("serving", digestMark)}, directives{line("set", "$mp_drain", "close")})
}

// locations gives the locations of a service. Named locations end with the name of
// the service, as several services may share a host.
//
//	/ or the path prefix   requests enter and go to new if the token's file exists;
//	                       looseLocations has the same body once more
//	@once.NAME             the same for methods that must not be repeated
//	@single.NAME           the same for methods that nginx would send again
//	@failed, @timeout...   the errors of @once and @single, see finalErrors
//	@stream.NAME           the same for upgraded connections and event streams
//	@old.NAME              requests go to old
//	@rescue.NAME           requests that new failed go to old, see rescueLocation
//	@cached.NAME...        requests that may be answered from the cache
//	@compare.NAME          requests of CompareNewSocket
func (d *draft) locations(s *migration.Service) directives {
	entry := d.entryLocation(s)
	all := directives{}
	if s.PathPrefix == "/" {
		all = append(all, block("location", []string{"/"}, entry))
	} else {
		all = append(all,
			block("location", []string{"=", string(s.PathPrefix)}, entry),
			block("location", []string{"^~", string(s.PathPrefix) + "/"}, entry))
	}
	if s.Fallback.Enabled && !s.GRPC() {
		all = append(all, block("location", []string{"@once." + string(s.Name)}, d.onceLocation(s)))
		all = append(all, block("location", []string{"@single." + string(s.Name)}, d.singleLocation(s)))
		all = append(all, finalErrors(s)...)
		if retryTarget(s) == "@rescue" {
			all = append(all, block("location", []string{"@rescue." + string(s.Name)}, d.rescueLocation(s)))
		}
	}
	if !s.GRPC() {
		all = append(all, block("location", []string{"@stream." + string(s.Name)}, d.streamLocation(s)))
		all = append(all, d.cachedLocations(s)...)
		all = append(all, d.compareLocation(s)...)
	}
	return append(all, block("location", []string{"@old." + string(s.Name)}, d.byProtocol(s, d.oldLocation(s))))
}

// entryLocation gives the body of the location where requests of a service enter.
func (d *draft) entryLocation(s *migration.Service) directives {
	lines := directives{
		line("set", "$mp_service", string(s.Name)),
		// Evaluates the map, whose expression also sets $mp_absolute and $mp_pathless.
		line("set", "$mp_host", "$mp_called_host"),
	}
	if s.Strategy == migration.StrategyUserHash && !s.Sticky() {
		lines = append(lines, line("set", "$mp_salt", s.Salt()))
	}
	if d.table.Global().DebugHeaders {
		lines = append(lines, line("set", "$mp_strategy", string(s.Strategy)))
	}
	for _, step := range d.token(s) {
		lines = append(lines, line("set", "$mp_token", step))
	}
	if s.GRPC() { // any call may be a stream, also one that is silent for long
		lines = append(lines, tokenFile(s, "safe", "@old"))
		lines = append(lines, namesOfNew(s)...)
		return d.byProtocol(s, append(lines, d.proxyToNew(s, longSilence)...), d.withStandby(s))
	}
	lines = append(lines, d.tryNew(s))
	lines = append(lines, namesOfNew(s)...)
	return append(lines, d.newLocation(s, s.Timeout)...)
}

// namesOfNew sets how new is called. nginx does so before it looks for the file of
// try_files, so the locations where a request goes next have these values; those of old
// set their own.
func namesOfNew(s *migration.Service) directives {
	lines := directives{
		line("set", "$mp_backend", "new_backend"),
		line("set", "$mp_host", string(s.NewHost)),
	}
	if s.NewBackend.Scheme == migration.HTTPS {
		lines = append(lines, line("set", "$mp_server_name", string(s.ServerName())))
	}
	return append(lines, keepsOrigin(s)...)
}

// streamLocation is entryLocation for answers that may be silent for long: upgraded
// connections, and the event streams that a client asks for. For nginx the time until
// an answer begins is the same limit, so a new that hangs is left to the patience of
// the client; package breaker blames new for that.
func (d *draft) streamLocation(s *migration.Service) directives {
	lines := directives{tokenFile(s, "safe", "@old")}
	return append(lines, d.newLocation(s, longSilence)...)
}

// newLocation sends the request to new, and to old if new fails.
func (d *draft) newLocation(s *migration.Service, allowed time.Duration) directives {
	lines := d.proxyToNew(s, allowed)
	if !s.Fallback.Enabled {
		return append(lines, line("proxy_request_buffering", "off"))
	}
	return append(lines, d.retryOnOld(s)...)
}

// tryNew keeps a request in the location where it entered if it may go to new from
// there, and sends it on otherwise.
func (d *draft) tryNew(s *migration.Service) *directive {
	switch {
	case cached(s):
		return d.cacheEntry(s)
	case !s.Fallback.Enabled:
		return tokenFile(s, "safe$mp_stream$mp_connection", "$mp_otherwise_any")
	}
	return tokenFile(s, "$mp_class", "$mp_otherwise")
}

// tokenFile keeps a request in its location if the file of its token is in the directory,
// which is "safe" where requests may go to new, and sends it on otherwise. The name of the
// service is written out: for a root with a variable nginx walks through all variables. A
// sticky service has a root of its own, see setSticky.
func tokenFile(s *migration.Service, directory, otherwise string) *directive {
	below := "/" + string(s.Name)
	if s.Sticky() {
		below = ""
	}
	return line("try_files", below+"/"+directory+"/$mp_token", otherwise+"."+string(s.Name))
}

// proxyToNew sends the request to new, which may be silent for the allowed time. See
// answerNames for the names in its response.
func (d *draft) proxyToNew(s *migration.Service, allowed time.Duration) directives {
	lines := directives{line("proxy_pass", d.proxyPass(s, migration.New))}
	if !d.sharesContext(s) {
		lines = append(lines, d.serviceTLS(s)...)
	}
	lines = append(lines, d.addedToNew(s)...)
	return append(lines, d.limitsToNew(s, allowed)...)
}

// oldLocation gives the body of @old: the request goes to old as it would without
// the proxy.
func (d *draft) oldLocation(s *migration.Service) directives {
	lines := directives{
		line("set", "$mp_backend", "old_backend"),
	}
	if s.OldBackend.Scheme == migration.HTTPS {
		// The certificate is not verified, as in ingress controllers: inside
		// the old cluster it is rarely signed by a known authority.
		lines = append(lines, line("set", "$mp_server_name", "$host"), line("proxy_ssl_verify", "off"))
	}
	lines = append(lines, d.oldRequest(s)...)
	lines = append(lines, d.oldAnswers()...)
	if d.table.Global().DebugHeaders {
		lines = append(lines, d.stateOfService(s)...)
	}
	lines = append(lines,
		line("proxy_pass", d.proxyPass(s, migration.Old)),
		line("proxy_request_buffering", "off"))
	lines = append(lines, d.addedToOld(s)...)
	return append(lines, d.limitsToOld(s)...)
}

package nginxgen

import (
	"net/netip"
	"regexp"
	"strconv"

	crossplane "github.com/nginxinc/nginx-go-crossplane"

	"github.com/migration-proxy/migration-proxy/migration"
)

type directive = crossplane.Directive

// adminServer tells which config the workers serve. It listens on a unix
// socket in the runtime directory, out of any client's reach.
func (d *draft) adminServer() directives {
	return directives{block("server", nil, directives{
		line("listen", "unix:"+d.path("admin.sock")),
		line("access_log", "off"),
		block("location", []string{"=", "/digest"}, directives{line("return", "200", digestMark+"\n")}),
		block("location", []string{"/"}, directives{line("return", "404")}),
	})}
}

// unknownHostServer answers for hosts that no service has. It also names
// every variable that locations set: nginx refuses a config that reads a
// variable which nothing sets, and a table may have no service that does.
func (d *draft) unknownHostServer() directives {
	variables := directives{}
	for _, name := range []string{"service", "salt", "token", "backend", "host", "server_name", "strategy", "state", "drain"} {
		variables = append(variables, line("set", "$mp_"+name, ""))
	}
	// No server_name: even "_" may be some service's host.
	return directives{block("server", nil, d.listen("default_server"), variables,
		directives{line("return", "421", "migration-proxy: no service has this host\n")})}
}

// listen gives the listen lines of a server: both ports, on each family.
func (d *draft) listen(options ...string) directives {
	lines := directives{}
	for _, at := range []netip.AddrPort{d.params.Listen, d.params.ListenNew} {
		lines = append(lines, line("listen", append([]string{at.String()}, options...)...))
		if d.params.IPv6 && at.Addr() == netip.IPv4Unspecified() {
			port := "[::]:" + strconv.Itoa(int(at.Port()))
			lines = append(lines, line("listen", append([]string{port}, options...)...))
		}
	}
	return lines
}

// servers gives one server for each old host, after the upstreams of its
// services: nginx looks an upstream up by walking over all that were written
// before, so early ones are found sooner.
func (d *draft) servers() directives {
	all := directives{}
	for _, services := range d.byHost() {
		for _, s := range services {
			all = append(all, d.upstreams(s)...)
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

func (d *draft) server(services []*migration.Service) *directive {
	body := append(d.listen(), line("server_name", string(services[0].OldHost)))
	if d.params.Version.NeedsDrain() {
		body = append(body, d.drain())
	}
	whole := false
	for _, s := range services {
		whole = whole || s.PathPrefix == "/"
		body = append(body, d.locations(s)...)
	}
	if !whole {
		body = append(body, block("location", []string{"/"}, directives{
			line("return", "404", "migration-proxy: no service has this path\n")}))
	}
	return block("server", nil, body)
}

// drain makes this config's workers ask their clients to reconnect while the
// agent is about to replace them, see Version.NeedsDrain.
func (d *draft) drain() *directive {
	return block("if", []string{"!-f", d.path("serving", digestMark)}, directives{line("set", "$mp_drain", "close")})
}

// locations are a service's: where requests enter and go to new if their
// token's file exists; @once, the same for methods that must not be repeated,
// with the ends of what fails there; and @old. Named locations carry the
// service's name, as several services may share a host.
func (d *draft) locations(s *migration.Service) directives {
	entry := d.entry(s)
	all := directives{}
	if s.PathPrefix == "/" {
		all = append(all, block("location", []string{"/"}, entry))
	} else {
		all = append(all,
			block("location", []string{"=", string(s.PathPrefix)}, entry),
			block("location", []string{string(s.PathPrefix) + "/"}, entry))
	}
	if s.Fallback.Enabled {
		all = append(all, block("location", []string{"@once." + string(s.Name)}, d.once(s)))
		all = append(all, giveUp(s)...)
	}
	return append(all, block("location", []string{"@old." + string(s.Name)}, d.old(s)))
}

// entry is where every request of a service begins.
func (d *draft) entry(s *migration.Service) directives {
	lines := directives{line("set", "$mp_service", string(s.Name))}
	if s.Strategy == migration.StrategyUserHash {
		lines = append(lines, line("set", "$mp_salt", s.Salt()))
	}
	if d.table.Global().DebugHeaders {
		lines = append(lines, line("set", "$mp_strategy", string(s.Strategy)))
	}
	for _, step := range d.token(s) {
		lines = append(lines, line("set", "$mp_token", step))
	}
	if !s.Fallback.Enabled {
		lines = append(lines, line("try_files", "/safe/$mp_token", "@old."+string(s.Name)), line("proxy_request_buffering", "off"))
		return append(lines, d.towardsNew(s)...)
	}
	lines = append(lines, line("try_files", "/$mp_class/$mp_token", "$mp_otherwise."+string(s.Name)))
	lines = append(lines, d.towardsNew(s)...)
	return append(lines, d.fallToOld(s)...)
}

// towardsNew is a location that asks new, and translates what new says about
// its own name back to the name the client knows.
func (d *draft) towardsNew(s *migration.Service) directives {
	lines := directives{
		line("set", "$mp_backend", "new_backend"),
		line("set", "$mp_host", string(s.NewHost)),
	}
	if s.NewBackend.Scheme == migration.HTTPS {
		lines = append(lines, line("set", "$mp_server_name", string(s.ServerName())))
	}
	lines = append(lines,
		line("proxy_pass", string(s.NewBackend.Scheme)+"://"+group(s, migration.New)),
		line("proxy_redirect", `~*\A(?:https?:)?//`+regexp.QuoteMeta(string(s.NewHost))+`(?::[0-9]+)?(?<mp_rest>[/?#].*)?\z`,
			"$mp_client_scheme://$mp_client_authority$mp_rest"),
		line("proxy_cookie_domain", string(s.NewHost), "$host"))
	lines = append(lines, d.serviceTLS(s)...)
	return append(lines, limits(s)...)
}

// old is a location that asks old: as it would be asked without us.
func (d *draft) old(s *migration.Service) directives {
	lines := directives{
		line("set", "$mp_backend", "old_backend"),
		line("set", "$mp_host", "$mp_called_host"),
	}
	if s.OldBackend.Scheme == migration.HTTPS {
		// Not verified, as ingress controllers do not: a certificate inside
		// the old cluster is rarely one that anybody could verify.
		lines = append(lines, line("set", "$mp_server_name", "$host"), line("proxy_ssl_verify", "off"))
	}
	if d.table.Global().DebugHeaders {
		lines = append(lines, stateOfService()...)
	}
	lines = append(lines,
		line("proxy_pass", string(s.OldBackend.Scheme)+"://"+group(s, migration.Old)),
		line("proxy_request_buffering", "off"))
	return append(lines, limits(s)...)
}

// limits are a service's own numbers, where they differ from the common ones.
func limits(s *migration.Service) directives {
	var lines directives
	if s.Timeout != commonTimeout {
		lines = append(lines, timeouts(s.Timeout)...)
	}
	if s.Tries != commonTries {
		lines = append(lines, line("proxy_next_upstream_tries", strconv.Itoa(s.Tries)))
	}
	if s.MaxBodyBytes > 0 {
		lines = append(lines, line("client_max_body_size", strconv.FormatInt(s.MaxBodyBytes, 10)))
	}
	if s.Gzip {
		lines = append(lines, line("gzip", "on"))
	}
	return lines
}

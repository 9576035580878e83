package nginxgen

import "github.com/migration-proxy/migration-proxy/migration"

// clientMaps gives the maps with the facts about the client: the form of the
// target, the host, the scheme and port, and the request ID.
func (d *draft) clientMaps() directives {
	lines := directives{
		// The Host header as the client wrote it. With an absolute target, such as
		// "http://a/", nginx ignores the header and selects the service by the host
		// of the target; the backend must see that host too. $mp_absolute is then not
		// "". $mp_pathless is "?" for "http://a?q": nginx does not keep the bytes of
		// this form, and would ask the backend for the file that try_files found.
		// Each service evaluates this map first, see entryLocation.
		mapping("$request", "$mp_called_host", `~\A[^ ]+ +(?<mp_absolute>[^/ ][^/]*(?://[^/? ]*(?<mp_pathless>\?)?)?)`, "$host", "default", "$http_host"),
		mapping("$http_x_request_id", "$mp_request_id", "", "$request_id", "default", "$http_x_request_id"),
	}
	if d.trustsProxies() {
		lines = append(lines, d.clientAddress()...)
	}
	if !d.params.BehindControllers {
		lines = append(lines, d.edgeMaps()...)
	}
	return append(lines,
		// The host and port for redirects and for the X-Forwarded-Host of new.
		// nginx does not check what follows the colon of a Host header
		// ("a:80@evil"), so this map does.
		mapping("$mp_called_host", "$mp_client_authority", d.authorities()...),
		// Below a wildcard a host may have characters with a meaning in a URL, as in
		// "evil.example#.example.com" (before nginx 1.29 any but / and NUL). Nothing is
		// translated to such a name: it would lead elsewhere.
		mapping("$host", "$mp_client_host", "~[^a-z0-9._-]", "$mp_host", "default", "$host"),
	)
}

// authorities gives what new is told for a Host header. The hosts of the table are there
// so that nginx need not ask the expression for most requests.
func (d *draft) authorities() []string {
	hosts := map[string]bool{}
	for _, s := range d.table.Services() {
		if !s.OldHost.Wildcard() {
			hosts[mapKey(string(s.OldHost))] = true
		}
	}
	var pairs []string
	for _, host := range sortedKeys(hosts) {
		pairs = append(pairs, host, "$mp_called_host")
	}
	return append(pairs, `~\A[A-Za-z0-9._-]+(?::[0-9]+)?\z`, "$mp_called_host", "default", "$mp_client_host")
}

// trustsProxies tells whether the config names trusted proxies.
func (d *draft) trustsProxies() bool { return len(d.table.Global().TrustedProxies) > 0 }

// edgeMaps gives the maps with what backends are told about the client where
// clients may reach the proxy without a controller, see ADR 17.
func (d *draft) edgeMaps() directives {
	if d.trustsProxies() {
		return d.trustedProxies()
	}
	const proto, port = "$http_x_forwarded_proto", "$http_x_forwarded_port"
	return directives{
		mapping(proto, "$mp_forwarded_proto", "", "$scheme", "default", proto),
		// A request with X-Forwarded-Proto: https and no port was sent to port
		// 443. With the port of the proxy, the application would redirect to
		// https://host:8000/.
		mapping(port+":"+proto, "$mp_forwarded_port", ":", "$server_port",
			`~*\A:(?:https|wss)\b`, "443", `~\A:`, "80", "default", port),
	}
}

// clientAddress takes the address for rules from X-Forwarded-For, as far as the
// trusted proxies reach. The header itself stays as it is.
func (d *draft) clientAddress() directives {
	lines := directives{line("real_ip_header", "X-Forwarded-For"), line("real_ip_recursive", "on")}
	for _, network := range d.table.Global().TrustedProxies {
		lines = append(lines, line("set_real_ip_from", network.String()))
	}
	return lines
}

// trustedProxies passes on what the trusted proxies say about the client. For all
// other clients the proxy itself says it.
func (d *draft) trustedProxies() directives {
	networks := directives{line("default", "0")}
	for _, network := range d.table.Global().TrustedProxies {
		networks = append(networks, line(network.String(), "1"))
	}
	trusted, peer := "$mp_trusted", "$remote_addr"
	var lines directives
	if d.comparesAny { // who asks by a unix socket is trusted, see compareMaps
		trusted, peer = "$mp_trusted_network", "$mp_peer_ip"
		lines = append(lines, mapping("$realip_remote_addr", "$mp_trusted", "unix:", "1", "default", trusted))
	}
	return append(lines,
		block("geo", []string{"$realip_remote_addr", trusted}, networks),
		mapping("$mp_trusted", "$mp_forwarded_proto", "1", "$http_x_forwarded_proto", "default", "$scheme"),
		mapping("$mp_trusted", "$mp_forwarded_port", "1", "$http_x_forwarded_port", "default", "$server_port"),
		mapping("$mp_trusted", "$mp_passed_request_id", "1", "$http_x_request_id", "default", "$mp_request_id"),
		// X-Real-IP has the address of X-Forwarded-For. $http_x_real_ip may be the
		// X_Real_IP of a client, which a trusted proxy passed on beside its own.
		mapping("$mp_trusted$http_x_real_ip", "$mp_real_ip", "1", "", "default", peer),
		// $proxy_add_x_forwarded_for would append the client's address again.
		mapping("$http_x_forwarded_for", "$mp_appended_for",
			"", "$realip_remote_addr", "default", "$http_x_forwarded_for, $realip_remote_addr"),
		mapping("$mp_trusted", "$mp_forwarded_for", "1", "$http_x_forwarded_for", "default", "$mp_appended_for"),
	)
}

// newHeaders gives the headers that the proxy sets in requests to new.
func (d *draft) newHeaders() directives {
	lines := append(hopHeaders("$mp_host"),
		line("proxy_set_header", "X-Forwarded-Host", "$mp_client_authority"),
		line("proxy_set_header", loopHeader, d.loopMark()),
		line("proxy_set_header", "Origin", "$mp_origin"),
		line("proxy_set_header", "Referer", "$mp_referer"))
	if d.params.BehindControllers {
		return append(lines, withoutUnderscores([2]string{"Forwarded", "Host"})...)
	}
	return append(lines, d.edgeHeaders()...)
}

// oldRequest gives the headers that the proxy sets in requests to old. They are a
// list of their own, because some headers are for new only.
func (d *draft) oldRequest(s *migration.Service) directives {
	lines := hopHeaders("$mp_called_host")
	if leadsOut(s) {
		lines = append(lines, line("proxy_set_header", loopHeader, d.loopMark()))
	}
	if d.params.BehindControllers {
		return lines
	}
	lines = append(lines, line("proxy_set_header", "X-Forwarded-Host", "$http_x_forwarded_host"))
	return append(lines, d.edgeHeaders()...)
}

// withoutUnderscores removes other spellings of headers X-A-B that the proxy sets.
// Some applications read them as the same header: a client must not override the
// headers of the proxy.
func withoutUnderscores(names ...[2]string) directives {
	lines := directives{}
	for _, words := range names {
		for _, separators := range [][2]string{{"_", "_"}, {"_", "-"}, {"-", "_"}} {
			name := "X" + separators[0] + words[0] + separators[1] + words[1]
			lines = append(lines, line("proxy_set_header", name, ""))
		}
	}
	return lines
}

// hopHeaders gives the headers of the hop to a backend.
func hopHeaders(host string) directives {
	return directives{
		line("proxy_set_header", "Host", host),
		line("proxy_set_header", "Connection", "$mp_connection"),
		line("proxy_set_header", "Upgrade", "$mp_upgrade"),
		// Some servers read these as the headers that frame the body; nginx does not.
		line("proxy_set_header", "Transfer_Encoding", ""),
		line("proxy_set_header", "Content_Length", ""),
	}
}

// edgeHeaders gives the headers that say who the client is.
func (d *draft) edgeHeaders() directives {
	forwardedFor, realIP, requestID := "$proxy_add_x_forwarded_for", "$remote_addr", "$mp_request_id"
	if d.comparesAny {
		forwardedFor, realIP = "$mp_peer_for", "$mp_peer_ip"
	}
	if d.trustsProxies() {
		forwardedFor, realIP, requestID = "$mp_forwarded_for", "$mp_real_ip", "$mp_passed_request_id"
	}
	lines := directives{
		line("proxy_set_header", "X-Request-ID", requestID),
		line("proxy_set_header", "X-Real-IP", realIP),
		line("proxy_set_header", "X-Forwarded-For", forwardedFor),
		line("proxy_set_header", "X-Forwarded-Proto", "$mp_forwarded_proto"),
		line("proxy_set_header", "X-Forwarded-Port", "$mp_forwarded_port"),
	}
	return append(lines, withoutUnderscores([2]string{"Forwarded", "Host"}, [2]string{"Real", "IP"},
		[2]string{"Forwarded", "For"}, [2]string{"Forwarded", "Proto"}, [2]string{"Forwarded", "Port"})...)
}

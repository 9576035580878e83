package nginxgen

// clientMaps gives the maps with the facts about the client: the form of the
// target, the host, the scheme and port, and the request ID.
func (d *draft) clientMaps() directives {
	lines := directives{
		// The form of the request target: "" for "/path", "absolute" for
		// "http://a/", and "absolute?" for "http://a?q". nginx does not keep
		// the bytes of the last form, and would ask the backend for the file
		// that try_files found.
		mapping("$request", "$mp_target", `~\A[^ ]+ +[^/ ][^/]*(?://[^/? ]*(?<mp_pathless>\?)?)?`, "absolute$mp_pathless", "default", ""),
		// The Host header as the client wrote it. With an absolute target,
		// nginx ignores the header and selects the service by the host of the
		// target; the backend must see that host too.
		mapping("$mp_target", "$mp_called_host", "", "$http_host", "default", "$host"),
		mapping("$http_x_request_id", "$mp_request_id", "", "$request_id", "default", "$http_x_request_id"),
	}
	proto, port := "$http_x_forwarded_proto", "$http_x_forwarded_port"
	if d.trustsProxies() {
		lines = append(lines, d.trustedProxies()...)
		proto, port = "$mp_given_proto", "$mp_given_port"
	} else {
		lines = append(lines, mapping("$http_x_real_ip", "$mp_real_ip", "", "$remote_addr", "default", "$http_x_real_ip"))
	}
	return append(lines,
		mapping(proto, "$mp_forwarded_proto", "", "$scheme", "default", proto),
		// A request with X-Forwarded-Proto: https and no port was sent to port
		// 443. With the port of the proxy, the application would redirect to
		// https://host:8000/.
		mapping(proto, "$mp_usual_port", "", "$server_port", `~*\A(?:https|wss)\b`, "443", "default", "80"),
		mapping(port, "$mp_forwarded_port", "", "$mp_usual_port", "default", port),
		// The host and port for redirects and for the X-Forwarded-Host of new.
		// nginx does not check what follows the colon of a Host header
		// ("a:80@evil"), so this map does.
		mapping("$mp_called_host", "$mp_client_authority", `~\A[^:@]+(?::[0-9]+)?\z`, "$mp_called_host", "default", "$host"),
		// In redirects the scheme is http or https, whatever the client sent.
		mapping("$mp_forwarded_proto", "$mp_client_scheme", `~*\Ahttps\z`, "https", `~*\Ahttp\z`, "http", "default", "$scheme"),
	)
}

// trustsProxies tells whether the config names trusted proxies.
func (d *draft) trustsProxies() bool { return len(d.table.Global().TrustedProxies) > 0 }

// trustedProxies takes X-Forwarded-For, -Proto and -Port from the trusted proxies
// and ignores these headers from all other clients. A config without trusted
// proxies passes the headers on unchanged: the load balancer in front of the
// proxy set them, and no decision of the proxy depends on them.
func (d *draft) trustedProxies() directives {
	lines := directives{line("real_ip_header", "X-Forwarded-For"), line("real_ip_recursive", "on")}
	networks := directives{line("default", "0")}
	for _, network := range d.table.Global().TrustedProxies {
		lines = append(lines, line("set_real_ip_from", network.String()))
		networks = append(networks, line(network.String(), "1"))
	}
	return append(lines,
		block("geo", []string{"$realip_remote_addr", "$mp_trusted"}, networks),
		mapping("$mp_trusted", "$mp_given_proto", "1", "$http_x_forwarded_proto", "default", ""),
		mapping("$mp_trusted", "$mp_given_port", "1", "$http_x_forwarded_port", "default", ""),
		// $proxy_add_x_forwarded_for would append the client's address again.
		mapping("$http_x_forwarded_for", "$mp_forwarded_for",
			"", "$realip_remote_addr", "default", "$http_x_forwarded_for, $realip_remote_addr"),
	)
}

// requestHeaders gives the headers that the proxy sets. Some applications read a
// name with underscores as the same header, so those names are removed: a client
// must not override the headers of the proxy.
func (d *draft) requestHeaders() directives {
	forwardedFor, realIP := "$proxy_add_x_forwarded_for", "$mp_real_ip"
	if d.trustsProxies() {
		forwardedFor, realIP = "$mp_forwarded_for", "$remote_addr"
	}
	lines := directives{
		line("proxy_set_header", "Host", "$mp_host"),
		line("proxy_set_header", "Connection", "$mp_connection"),
		line("proxy_set_header", "Upgrade", "$mp_upgrade"),
		line("proxy_set_header", "X-Request-ID", "$mp_request_id"),
		line("proxy_set_header", "X-Real-IP", realIP),
		line("proxy_set_header", "X-Forwarded-For", forwardedFor),
		line("proxy_set_header", "X-Forwarded-Host", "$mp_forwarded_host"),
		line("proxy_set_header", "X-Forwarded-Proto", "$mp_forwarded_proto"),
		line("proxy_set_header", "X-Forwarded-Port", "$mp_forwarded_port"),
	}
	for _, words := range [][2]string{{"Real", "IP"}, {"Forwarded", "For"}, {"Forwarded", "Host"}, {"Forwarded", "Proto"}, {"Forwarded", "Port"}} {
		for _, separators := range [][2]string{{"_", "_"}, {"_", "-"}, {"-", "_"}} {
			name := "X" + separators[0] + words[0] + separators[1] + words[1]
			lines = append(lines, line("proxy_set_header", name, ""))
		}
	}
	// Some servers read these as the headers that frame the body; nginx does not.
	return append(lines, line("proxy_set_header", "Transfer_Encoding", ""), line("proxy_set_header", "Content_Length", ""))
}

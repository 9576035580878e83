package nginxgen

// clientFacts says what is believed about the client, and under which names
// the backends are told.
func (d *draft) clientFacts() directives {
	lines := directives{
		// "" for the usual target; "absolute" for "http://a/", and "absolute?"
		// for "http://a?q": of that one nginx forgets the bytes, and would ask
		// the backend for the file that try_files found.
		mapping("$request", "$mp_target", `~\A[^ ]+ +[^/ ][^/]*(?://[^/? ]*(?<mp_pathless>\?)?)?`, "absolute$mp_pathless", "default", ""),
		// The Host header as the client wrote it, unless an absolute target
		// made it count for nothing: a service must not be asked for by another
		// name than the one it was found by.
		mapping("$mp_target", "$mp_called_host", "", "$http_host", "default", "$host"),
		mapping("$http_x_request_id", "$mp_request_id", "", "$request_id", "default", "$http_x_request_id"),
	}
	proto, port := "$http_x_forwarded_proto", "$http_x_forwarded_port"
	if d.trusts() {
		lines = append(lines, d.trustedProxies()...)
		proto, port = "$mp_given_proto", "$mp_given_port"
	} else {
		lines = append(lines, mapping("$http_x_real_ip", "$mp_real_ip", "", "$remote_addr", "default", "$http_x_real_ip"))
	}
	return append(lines,
		mapping(proto, "$mp_forwarded_proto", "", "$scheme", "default", proto),
		// Who says https and no port means 443: our own port would lead the
		// application's redirects to https://host:8000/.
		mapping(proto, "$mp_usual_port", "", "$server_port", `~*\A(?:https|wss)\b`, "443", "default", "80"),
		mapping(port, "$mp_forwarded_port", "", "$mp_usual_port", "default", port),
		// What redirects lead to, and new is told that the client asked for:
		// what stands after the colon in a Host header ("a:80@evil") nginx
		// never looked at.
		mapping("$mp_called_host", "$mp_client_authority", `~\A[^:@]+(?::[0-9]+)?\z`, "$mp_called_host", "default", "$host"),
		// For our own use the scheme is one of two words, whatever was sent.
		mapping("$mp_forwarded_proto", "$mp_client_scheme", `~*\Ahttps\z`, "https", `~*\Ahttp\z`, "http", "default", "$scheme"),
	)
}

func (d *draft) trusts() bool { return len(d.table.Global().TrustedProxies) > 0 }

// trustedProxies believes X-Forwarded-For from them, and then what they say in
// X-Forwarded-Proto and -Port; nobody else is believed. Without any the
// headers are passed on as they came: whoever stands before us set them, and
// nothing of ours depends on them.
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
		// Not $proxy_add_x_forwarded_for: that would append the client again.
		mapping("$http_x_forwarded_for", "$mp_forwarded_for",
			"", "$realip_remote_addr", "default", "$http_x_forwarded_for, $realip_remote_addr"),
	)
}

// requestHeaders is what backends get besides the client's own headers. The
// names with underscores reach some applications as the same header, so a
// client must not be able to send them past ours.
func (d *draft) requestHeaders() directives {
	forwardedFor, realIP := "$proxy_add_x_forwarded_for", "$mp_real_ip"
	if d.trusts() {
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
	// Some servers take these for their framing, which nginx does not.
	return append(lines, line("proxy_set_header", "Transfer_Encoding", ""), line("proxy_set_header", "Content_Length", ""))
}

package nginxgen

// clientFacts says what is believed about the client, and under which names
// the backends are told.
func (d *draft) clientFacts() directives {
	proto, port, realIP := "$http_x_forwarded_proto", "$http_x_forwarded_port", "$http_x_real_ip"
	lines := d.realIP()
	if len(lines) > 0 {
		proto, port, realIP = "$mp_given_proto", "$mp_given_port", "$remote_addr"
	}
	return append(lines,
		mapping("$http_x_request_id", "$mp_request_id", "", "$request_id", "default", "$http_x_request_id"),
		mapping("$http_x_forwarded_for", "$mp_forwarded_for",
			"", "$realip_remote_addr", "default", "$http_x_forwarded_for, $realip_remote_addr"),
		mapping(proto, "$mp_forwarded_proto", "", "$scheme", "default", proto),
		mapping(port, "$mp_forwarded_port", "", "$server_port", "default", port),
		mapping(realIP, "$mp_real_ip", "", "$remote_addr", "default", realIP),
		// For our own use the scheme is one of two words, whatever was sent.
		mapping("$mp_forwarded_proto", "$mp_client_scheme", `~*\Ahttps\z`, "https", `~*\Ahttp\z`, "http", "default", "$scheme"),
	)
}

// realIP believes X-Forwarded-For from trusted proxies, and then what they
// say in X-Forwarded-Proto and -Port; nobody else is believed. Without any
// trusted proxy the headers are passed on as they came: whoever stands before
// us set them, and nothing of ours depends on them.
func (d *draft) realIP() directives {
	trusted := d.table.Global().TrustedProxies
	if len(trusted) == 0 {
		return nil
	}
	lines := directives{line("real_ip_header", "X-Forwarded-For"), line("real_ip_recursive", "on")}
	networks := directives{line("default", "0")}
	for _, network := range trusted {
		lines = append(lines, line("set_real_ip_from", network.String()))
		networks = append(networks, line(network.String(), "1"))
	}
	return append(lines,
		block("geo", []string{"$realip_remote_addr", "$mp_trusted"}, networks),
		mapping("$mp_trusted", "$mp_given_proto", "1", "$http_x_forwarded_proto", "default", ""),
		mapping("$mp_trusted", "$mp_given_port", "1", "$http_x_forwarded_port", "default", ""),
	)
}

package nginxgen

import (
	"cmp"
	"strconv"

	"github.com/migration-proxy/migration-proxy/migration"
)

// proxyDefaults gives the proxy_* directives of both sides. A location overrides
// some of them.
func (d *draft) proxyDefaults() directives {
	lines := directives{
		line("proxy_http_version", "1.1"),
		line("proxy_buffering", "off"),
		line("proxy_buffer_size", "16k"),
		line("proxy_buffers", "8", "16k"),
		line("proxy_headers_hash_max_size", "1024"),
		line("proxy_headers_hash_bucket_size", "64"),
		line("proxy_ignore_headers", "X-Accel-Redirect", "X-Accel-Expires", "X-Accel-Limit-Rate",
			"X-Accel-Buffering", "X-Accel-Charset", "Expires", "Cache-Control", "Set-Cookie", "Vary"),
		line("proxy_next_upstream", "error", "timeout"),
		// Upgrades pass, except to protocols that carry HTTP requests: with those a
		// client would reach a backend past the rules of the proxy. A server that
		// does not see the offer answers in HTTP/1.1.
		// $mp_upgrade is set when $mp_connection is evaluated.
		mapping("$http_upgrade", "$mp_connection", "", "", `~*(?:\A|[\s,])(?:h2|http|tls)`, "",
			`~\A(?<mp_upgrade>(?s:.+))\z`, "upgrade", "default", ""),
	}
	lines = append(lines, passedHeaders()...)
	if d.params.Version.passesTrailers() {
		lines = append(lines, line("proxy_pass_trailers", "on"))
	}
	if d.params.Version.passesHints() {
		lines = append(lines,
			mapping("$server_protocol", "$mp_hints", "HTTP/1.0", "", "default", "1"),
			line("early_hints", "$mp_hints"))
	}
	lines = append(lines, d.limitDefaults()...)
	lines = append(lines, d.answerNames()...)
	lines = append(lines, d.answerHeaders()...)
	lines = append(lines, d.originMaps()...)
	lines = append(lines, d.loopMaps()...)
	lines = append(lines, d.newHeaders()...)
	lines = append(lines, d.tlsDefaults()...)
	if d.usesGRPC {
		lines = append(lines, grpcTwins(lines)...)
		lines = append(lines, d.standbyMaps()...)
	}
	return append(lines, d.compression()...)
}

// passedHeaders passes headers of answers that nginx hides unless told otherwise.
func passedHeaders() directives {
	var lines directives
	for _, name := range []string{"Date", "Server", "X-Pad", "X-Accel-Redirect", "X-Accel-Expires", "X-Accel-Limit-Rate",
		"X-Accel-Buffering", "X-Accel-Charset"} {
		lines = append(lines, line("proxy_pass_header", name))
	}
	return lines
}

// tlsDefaults gives the directives for all https backends. The defaults of
// nginx are SNI off and verification off.
func (d *draft) tlsDefaults() directives {
	lines := directives{
		line("proxy_ssl_server_name", "on"),
		line("proxy_ssl_name", "$mp_server_name"),
		line("proxy_ssl_protocols", "TLSv1.2", "TLSv1.3"),
		line("proxy_ssl_verify", "on"),
		line("proxy_ssl_verify_depth", "5"),
	}
	files := d.params.Files
	if d.params.Version.sharesTLS() || d.params.CADir == "" {
		return append(lines, d.trusted(d.usual.caFile))
	}
	if bundle, ok := files.Trusted[d.params.CAFile]; ok {
		// OpenSSL keeps what it has read of CADir until a reload.
		lines = append(lines, comment("The certificates of "+d.params.CADir+" are those of "+bundle+"."))
	}
	return append(lines, line("proxy_ssl_trusted_certificate", files.TrustedFile(d.params.AnchorFile)))
}

// trusted names the certificates that new's is checked against; "" stands for the system's.
func (d *draft) trusted(caFile string) *directive {
	return line("proxy_ssl_trusted_certificate", d.params.Files.TrustedFile(cmp.Or(caFile, d.params.CAFile)))
}

// sharesContext tells whether the directives of serviceTLS stand in the server block, so
// that all locations of the service share one TLS context. An https old must not get
// them: its location would show it the client certificate that is for new.
func (d *draft) sharesContext(s *migration.Service) bool {
	return d.params.Version.sharesTLS() && !s.GRPC() && s.OldBackend.Scheme != migration.HTTPS && len(d.table.OfHost(s.OldHost)) == 1
}

// serviceTLS gives the directives of one service that differ from tlsDefaults.
func (d *draft) serviceTLS(s *migration.Service) directives {
	var lines directives
	if s.NewBackend.Scheme != migration.HTTPS {
		return nil
	}
	switch {
	case !s.TLS.Verify:
		lines = append(lines, line("proxy_ssl_verify", "off"))
	case hasStandby(s):
		lines = append(lines, d.standbyTrust(s)...)
	case s.TLS.CAFile != d.usual.caFile:
		lines = append(lines, d.trusted(s.TLS.CAFile))
	case !d.params.Version.sharesTLS() && d.params.CADir != "":
		lines = append(lines, line("proxy_ssl_conf_command", "VerifyCAPath", d.params.CADir))
	}
	if s.TLS.ClientCertFile != "" {
		pair := d.params.Files.Pair(KeyPair{s.TLS.ClientCertFile, s.TLS.ClientKeyFile})
		lines = append(lines,
			line("proxy_ssl_certificate", pair.Cert),
			line("proxy_ssl_certificate_key", pair.Key))
	}
	return lines
}

// compression configures gzip if some service has it on; the location of the
// service switches it on.
func (d *draft) compression() directives {
	if !d.any(func(s *migration.Service) bool { return s.Gzip }) {
		return nil
	}
	return directives{line("gzip_proxied", "any"), line("gzip_vary", "on"), line("gzip_types",
		"text/plain", "text/css", "text/xml", "text/javascript", "application/javascript",
		"application/json", "application/xml", "image/svg+xml")}
}

// addresses gives the server lines of a backend. nginx tries each line once per
// request, so the list repeats until it has at least as many lines as tries. Each
// address is listed equally often and gets an equal part of the requests.
//
//	addresses  tries  lines of each  max_fails
//	1          3      3              0
//	2          3      2              0
//	4          3      1              1, for 1 s
//
// All but the first lines of several addresses are backups, which nginx asks when it
// has tried the others: a second try never meets the address that failed the first.
//
// With max_fails=0 nginx never sets an address aside: the tries reach the others
// anyway, and if all addresses refuse for a moment, none would be left. With more
// addresses than tries, nginx sets a failed address aside for one second.
func (d *draft) addresses(backend migration.Backend, tries int) directives {
	addresses := d.endpoints[backend]
	if len(addresses) == 0 {
		return directives{line("server", "unix:"+d.path("unresolved.sock"), "down")}
	}
	failureParams := []string{"max_fails=0"}
	if len(addresses) > tries {
		failureParams = []string{"max_fails=1", "fail_timeout=1s"}
	}
	lines := directives{}
	for len(lines) < max(tries, 1) {
		if len(lines) > 1 && len(lines) == len(addresses) {
			failureParams = append(failureParams, "backup")
		}
		for _, address := range addresses {
			lines = append(lines, line("server", append([]string{d.serverAddress(address)}, failureParams...)...))
		}
	}
	return lines
}

// keepalive limits the connections that stay open between requests. The proxy closes
// an idle one before the backend does: a request that is sent at that moment is lost.
func keepalive(k migration.Keepalive) directives {
	lines := directives{line("keepalive", strconv.Itoa(k.Connections)), line("keepalive_timeout", milliseconds(k.Idle))}
	if k.Requests != usualRequests {
		lines = append(lines, line("keepalive_requests", strconv.Itoa(k.Requests)))
	}
	return lines
}

// usualRequests is the number of requests for a connection that nginx itself has.
const usualRequests = 1000

package nginxgen

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"time"

	"github.com/migration-proxy/migration-proxy/migration"
)

// What most services have, written once; a location repeats only what differs.
const (
	commonTimeout = 30 * time.Second
	commonTries   = 3
)

// towardsBackends is how both sides are spoken to, unless a location says
// otherwise.
func (d *draft) towardsBackends() directives {
	lines := directives{
		line("proxy_http_version", "1.1"),
		line("proxy_buffering", "off"),
		line("proxy_buffer_size", "16k"),
		line("proxy_buffers", "8", "16k"),
		line("proxy_redirect", "off"),
		line("proxy_headers_hash_max_size", "1024"),
		line("proxy_headers_hash_bucket_size", "128"),
		line("proxy_ignore_headers", "X-Accel-Redirect", "X-Accel-Expires", "X-Accel-Limit-Rate",
			"X-Accel-Buffering", "X-Accel-Charset", "Expires", "Cache-Control", "Set-Cookie", "Vary"),
		line("proxy_next_upstream", "error", "timeout"),
		// Only websockets are upgraded: an h2c upgrade would let a client
		// speak to a backend past us.
		mapping("$http_upgrade", "$mp_upgrade", `~*\Awebsocket\z`, "$http_upgrade", "default", ""),
		mapping("$mp_upgrade", "$mp_connection", "", "", "default", "upgrade"),
		volatileMapping("$mp_backend", "$mp_forwarded_host", "new_backend", "$mp_client_authority", "default", "$http_x_forwarded_host"),
	}
	for _, name := range []string{"Date", "Server", "X-Pad", "X-Accel-Redirect", "X-Accel-Expires", "X-Accel-Limit-Rate", "X-Accel-Buffering", "X-Accel-Charset"} {
		lines = append(lines, line("proxy_pass_header", name))
	}
	if d.params.Version.passesTrailers() {
		lines = append(lines, line("proxy_pass_trailers", "on"))
	}
	if d.params.Version.passesHints() {
		lines = append(lines,
			mapping("$server_protocol", "$mp_hints", "HTTP/1.0", "", "default", "1"),
			line("early_hints", "$mp_hints"))
	}
	lines = append(lines, timeouts(commonTimeout)...)
	lines = append(lines, line("proxy_next_upstream_tries", strconv.Itoa(commonTries)))
	lines = append(lines, d.requestHeaders()...)
	lines = append(lines, d.commonTLS()...)
	return append(lines, d.compression()...)
}

// timeouts bounds one try; no further try begins after the same time, so that
// a backend that hangs costs one timeout and not one for each try.
func timeouts(timeout time.Duration) directives {
	text := milliseconds(timeout)
	return directives{
		line("proxy_connect_timeout", text),
		line("proxy_send_timeout", text),
		line("proxy_read_timeout", text),
		line("proxy_next_upstream_timeout", text),
	}
}

func milliseconds(d time.Duration) string {
	if d%time.Second == 0 {
		return strconv.FormatInt(int64(d/time.Second), 10) + "s"
	}
	return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
}

// commonTLS is for every backend that is https; nginx's own defaults are SNI
// off and verification off.
func (d *draft) commonTLS() directives {
	lines := directives{
		line("proxy_ssl_server_name", "on"),
		line("proxy_ssl_name", "$mp_server_name"),
		line("proxy_ssl_protocols", "TLSv1.2", "TLSv1.3"),
		line("proxy_ssl_verify", "on"),
		line("proxy_ssl_verify_depth", "5"),
	}
	if d.params.Version.sharesTLS() || d.params.CADir == "" {
		return append(lines, line("proxy_ssl_trusted_certificate", d.params.CAFile))
	}
	return append(lines, line("proxy_ssl_trusted_certificate", d.params.AnchorFile))
}

// serviceTLS is what differs from commonTLS in one service.
func (d *draft) serviceTLS(s *migration.Service) directives {
	var lines directives
	if s.NewBackend.Scheme != migration.HTTPS {
		return nil
	}
	switch {
	case !s.TLS.Verify:
		lines = append(lines, line("proxy_ssl_verify", "off"))
	case s.TLS.CAFile != "":
		lines = append(lines, line("proxy_ssl_trusted_certificate", s.TLS.CAFile))
	case !d.params.Version.sharesTLS() && d.params.CADir != "":
		lines = append(lines, line("proxy_ssl_conf_command", "VerifyCAPath", d.params.CADir))
	}
	if s.TLS.ClientCertFile != "" {
		lines = append(lines,
			line("proxy_ssl_certificate", s.TLS.ClientCertFile),
			line("proxy_ssl_certificate_key", s.TLS.ClientKeyFile))
	}
	return lines
}

// compression prepares for the services that ask for it.
func (d *draft) compression() directives {
	if !d.any(func(s *migration.Service) bool { return s.Gzip }) {
		return nil
	}
	return directives{line("gzip_proxied", "any"), line("gzip_vary", "on"), line("gzip_types",
		"text/plain", "text/css", "text/xml", "text/javascript", "application/javascript",
		"application/json", "application/xml", "image/svg+xml")}
}

// upstreams are the two groups of a service. Kept connections are told apart
// by address only, so none is kept where each is for one of several names.
func (d *draft) upstreams(s *migration.Service) directives {
	var limit directives
	if s.OldHost.Wildcard() && s.OldBackend.Scheme == migration.HTTPS {
		limit = directives{line("keepalive_requests", "1")} // "keepalive 0" only newer nginx knows
	}
	return directives{
		block("upstream", []string{group(s, migration.Old)}, d.addresses(s.OldBackend, s.Tries), keepalive(), limit),
		block("upstream", []string{group(s, migration.New)}, d.addresses(s.NewBackend, s.Tries), keepalive()),
	}
}

// group names an upstream, with a hash in front: nginx looks a name up by
// comparing it with all others from the first character on, and names of
// services tend to begin alike. With 5,000 services that halves nginx -t.
func group(s *migration.Service, side migration.Side) string {
	hash := fnv.New32a()
	hash.Write([]byte(s.Name))
	return fmt.Sprintf("%03x.%s.%s", hash.Sum32()&0xfff, s.Name, side)
}

// addresses lists a backend's, again and again until there are at least as many
// as tries: nginx gives each entry one try. All are listed equally often, so
// that each gets as much. None is set aside after a failure (max_fails=0) where
// the tries find the others: when all refused for a moment, nobody would be left.
// Where there are more than tries, the dead ones are, for a second.
func (d *draft) addresses(backend migration.Backend, tries int) directives {
	addresses := d.endpoints[backend]
	if len(addresses) == 0 {
		return directives{line("server", "unix:"+d.path("unresolved.sock"), "down")}
	}
	aside := []string{"max_fails=0"}
	if len(addresses) > tries {
		aside = []string{"max_fails=1", "fail_timeout=1s"}
	}
	lines := directives{}
	for len(lines) < max(tries, 1) {
		for _, address := range addresses {
			lines = append(lines, line("server", append([]string{address.String()}, aside...)...))
		}
	}
	return lines
}

func keepalive() directives {
	return directives{
		line("keepalive", "32"),
		// Shorter than any common backend's (Node.js closes after 5 s): a
		// request must not meet the backend closing the connection.
		line("keepalive_timeout", "4s"),
	}
}

package nginxgen

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/migration-proxy/migration-proxy/migration"
)

// A gRPC call whose connection to new fails is sent to old by nginx's upstream group,
// and not by error_page as other requests are: nginx passes the messages of a call on
// as they come, and after error_page it would send none of those that are still to
// come. A group has one Host and one TLS setting, and those of old differ. So the last
// resort of the group of new is a server of the proxy itself, on a unix socket, which
// asks old as it must be asked. No request passes through it unless new cannot be
// connected to. See ADR 22.

// The certificate of the standby server, with TLS to new. The agent makes both files.
// It is its own authority, and vouches for no other name.
const (
	StandbyName = "standby.migration-proxy.invalid"
	StandbyCert = "standby.pem" // in the runtime directory
	StandbyKey  = "standby.key"
)

// LongestSocket is the length of the longest name of a socket in the runtime directory.
const LongestSocket = len(CompareNewSocket)

// hasStandby tells whether a service has a standby server.
func hasStandby(s *migration.Service) bool { return s.GRPC() && s.Fallback.Enabled }

// standbySocket is the path of the standby server's socket. It depends on the name of
// the service alone: the workers of the config before use it until their last call
// has ended.
func (d *draft) standbySocket(s *migration.Service) string {
	sum := sha256.Sum256([]byte(s.Name))
	return "unix:" + d.path("old-"+hex.EncodeToString(sum[:5]))
}

// addressesOfNew gives the server lines of new. A standby server is the only backup, and
// so the last: each address is then listed once.
func (d *draft) addressesOfNew(s *migration.Service) directives {
	if !hasStandby(s) {
		return d.addresses(s.NewBackend, s.Tries)
	}
	return append(d.addresses(s.NewBackend, 1), line("server", d.standbySocket(s), "max_fails=0", "backup"))
}

// withStandby gives the lines of the location of new: no limit to the number and time of
// tries, because the standby server is the last of them, and a name for its certificate.
func (d *draft) withStandby(s *migration.Service) directives {
	if !hasStandby(s) {
		return nil
	}
	lines := directives{line("grpc_next_upstream_tries", "0"), line("grpc_next_upstream_timeout", "0")}
	if s.NewBackend.Scheme == migration.HTTPS {
		lines = append(lines, line("grpc_ssl_name", "$mp_peer_name"))
	}
	return lines
}

// standbyTrust gives the trusted certificates of a service with a standby server: those
// of new, and the one of the standby server. nginx reads one file, so OpenSSL is told
// to read both.
func (d *draft) standbyTrust(s *migration.Service) directives {
	own := d.path(StandbyCert)
	lines := directives{
		line("proxy_ssl_trusted_certificate", own), // nginx requires one
		line("proxy_ssl_conf_command", "VerifyCAFile", own),
	}
	switch {
	case s.TLS.CAFile != "":
		return append(lines, line("proxy_ssl_conf_command", "VerifyCAFile", d.params.Files.TrustedFile(s.TLS.CAFile)))
	case d.params.CADir != "":
		return append(lines, line("proxy_ssl_conf_command", "VerifyCAPath", d.params.CADir))
	}
	return append(lines, line("proxy_ssl_conf_command", "VerifyCAFile", d.params.Files.TrustedFile(d.params.CAFile)))
}

// atStandby matches the addresses that nginx asked if the last is that of a standby server.
const atStandby = `~unix:[^,]*\z`

// standbyMaps gives the maps that distinguish the standby server from new.
func (d *draft) standbyMaps() directives {
	if !d.any(hasStandby) {
		return nil
	}
	return directives{
		volatileMapping("$upstream_addr", "$mp_peer_name", atStandby, StandbyName, "default", "$mp_server_name"),
		// The Host of the request is that of new.
		mapping("$http_x_forwarded_host", "$mp_standby_name", `~\A(?<mp_standby_host>[^:]+)`, "$mp_standby_host", "default", ""),
	}
}

// standbyServer gives the server that asks old for the calls that new could not be
// asked for. The headers about the client are already what old must get.
func (d *draft) standbyServer(s *migration.Service) directives {
	if !hasStandby(s) {
		return nil
	}
	listen := []string{d.standbySocket(s)}
	var certificate directives
	if s.NewBackend.Scheme == migration.HTTPS {
		listen = append(listen, "ssl")
		certificate = directives{
			line("ssl_certificate", d.path(StandbyCert)),
			line("ssl_certificate_key", d.path(StandbyKey)),
		}
	}
	if !d.params.Version.detectsHTTP2() {
		listen = append(listen, "http2")
	}
	return directives{block("server", nil,
		directives{line("listen", listen...)}, d.http2On(), certificate,
		directives{line("access_log", "off"), block("location", []string{"/"}, d.askOld(s))})}
}

func (d *draft) askOld(s *migration.Service) directives {
	var lines directives
	if s.OldBackend.Scheme == migration.HTTPS {
		lines = append(lines, line("set", "$mp_server_name", "$mp_standby_name"), line("grpc_ssl_verify", "off"))
	}
	lines = append(lines, grpcTwins(hopHeaders("$http_x_forwarded_host"))...)
	lines = append(lines, grpcTwins(d.oldAnswers())...)
	lines = append(lines, line("add_header", "Alt-Svc", "")) // so that none of the http block is added
	lines = append(lines, grpcTwins(directives{line("proxy_pass", d.proxyPass(s, migration.Old))})...)
	lines = append(lines, line("client_body_timeout", quietStream))
	return append(lines, grpcTwins(d.limitsToOld(s))...)
}

package errorlog

import (
	"net/netip"
	"strings"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/migration"
)

// Stage is the part of a request that failed.
type Stage string

// The stages about which the access log says too little. An answer in which the backend
// is silent for longer than the timeout has none: a quiet stream is no failure.
const (
	Body      Stage = "body"
	Handshake Stage = "handshake"
	// Connecting is what the access log has too, but not with the address of each try.
	Connecting Stage = "connecting"
)

// Complaint is a failure of one backend in one request.
type Complaint struct {
	Stage   Stage
	Failure fallback.Failure
	Message string // nginx's message, which has nothing from the client
	Server  string // the old_host of the service, also "*.example.com"
	Path    string // normalized, for migration.Table.Route
	Scheme  migration.Scheme
	Address netip.AddrPort
	// Compared says that no client sent the request, but the agent on a socket of its own.
	Compared bool
}

// Parse reads a line like
//
//	*7 recv() failed (104: Connection reset by peer) while reading upstream,
//	client: 192.0.2.1, server: api.example.com, request: "GET /a?b HTTP/1.1",
//	upstream: "https://198.51.100.7:443/a?b", host: "api.example.com"
//
// (one line in the log); false for any other.
func Parse(line string) (Complaint, bool) {
	number, line, ok := strings.Cut(line, " ")
	if !ok || !strings.HasPrefix(number, "*") {
		return Complaint{}, false
	}
	message, line, ok := strings.Cut(line, ", client: ")
	if !ok {
		return Complaint{}, false
	}
	c, ok := parseMessage(message)
	if !ok {
		return Complaint{}, false
	}
	client, line, ok := strings.Cut(line, ", server: ")
	c.Compared = client == "unix:"
	if !ok {
		return Complaint{}, false
	}
	c.Server, line, ok = strings.Cut(line, `, request: "`)
	return c, ok && c.Server != "" && c.readRequest(line)
}

// form is the beginning of a message, and its meaning.
type form struct {
	begins  string
	whole   bool // the message ends there
	failure fallback.Failure
}

// brokenOff are the messages about an answer that broke off. nginx passes an
// answer on while it reads it, so it may be reading or sending when it notices
// the end.
var brokenOff = []form{
	{"upstream prematurely closed connection", true, fallback.FailureReset},
	{"upstream sent invalid chunked response", true, fallback.FailureReset},
	{"recv() failed (", false, fallback.FailureReset},
	{"readv() failed (", false, fallback.FailureReset},
	{"SSL_read() failed (", false, fallback.FailureReset},
	// Of gRPC: a stream or a connection that the backend ended with an error.
	{"upstream rejected request with error ", false, fallback.FailureReset},
	{"upstream sent goaway with error ", false, fallback.FailureReset},
	{"upstream prematurely closed stream", true, fallback.FailureReset},
}

// activities are what nginx was doing, with the stage and the messages that
// belong to it.
var activities = map[string]struct {
	stage Stage
	forms []form
}{
	"sending to client": {Body, brokenOff},
	"reading upstream":  {Body, brokenOff},
	"connecting to upstream": {Connecting, []form{
		{"connect() failed (", false, fallback.FailureConnect},
		{"upstream timed out (", false, fallback.FailureConnect},
	}},
	"SSL handshaking to upstream": {Handshake, []form{
		{"SSL_do_handshake() failed (", false, fallback.FailureTLS},
		{"upstream SSL certificate verify error: (", false, fallback.FailureTLS},
		{"upstream SSL certificate does not match ", false, fallback.FailureTLS},
		{"peer closed connection in SSL handshake", false, fallback.FailureTLS},
		{"upstream timed out (", false, fallback.FailureTLS},
	}},
}

// parseMessage reads "MESSAGE while ACTIVITY".
func parseMessage(text string) (Complaint, bool) {
	at := strings.LastIndex(text, " while ")
	if at < 0 {
		return Complaint{}, false
	}
	message, activity := text[:at], activities[text[at+len(" while "):]]
	for _, f := range activity.forms {
		if message == f.begins || !f.whole && strings.HasPrefix(message, f.begins) {
			return Complaint{Stage: activity.stage, Failure: f.failure, Message: text}, true
		}
	}
	return Complaint{}, false
}

// readRequest reads `GET /path HTTP/1.1", upstream: "https://192.0.2.7:443/`.
func (c *Complaint) readRequest(line string) bool {
	_, line, _ = strings.Cut(line, " ")
	target, line, _ := strings.Cut(line, " ")
	version, line, ok := strings.Cut(line, `", upstream: "`)
	if !ok || len(version) != len("HTTP/1.1") || !strings.HasPrefix(version, "HTTP/1.") && version != "HTTP/2.0" {
		return false
	}
	if c.Path, ok = migration.NormalizePath(pathOf(target)); !ok {
		return false
	}
	return c.readUpstream(line)
}

// pathOf removes scheme and host from a target in absolute form.
func pathOf(target string) string {
	if strings.HasPrefix(target, "/") {
		return target
	}
	_, rest, _ := strings.Cut(target, "://")
	if slash := strings.IndexAny(rest, "/?"); slash >= 0 && rest[slash] == '/' {
		return rest[slash:]
	}
	return "/"
}

// readUpstream reads `https://192.0.2.7:443/path"`. A backend without
// an address is a unix socket of the proxy itself.
func (c *Complaint) readUpstream(text string) bool {
	scheme, text, _ := strings.Cut(text, "://")
	if secure, isGRPC := strings.CutPrefix(scheme, "grpc"); isGRPC {
		scheme = "http" + secure
	}
	c.Scheme = migration.Scheme(scheme)
	end := strings.IndexAny(text, `/?"`)
	if end < 0 || c.Scheme != migration.HTTP && c.Scheme != migration.HTTPS {
		return false
	}
	var err error
	c.Address, err = netip.ParseAddrPort(text[:end])
	return err == nil
}

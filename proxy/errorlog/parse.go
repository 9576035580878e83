package errorlog

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/migration"
)

// Stage is where in a request it happened.
type Stage string

// The stages of which the access log says less, or nothing.
const (
	Body      Stage = "body"
	Handshake Stage = "handshake"
)

// Complaint is one request's trouble with one backend.
type Complaint struct {
	Stage   Stage
	Failure fallback.Failure
	Words   string // nginx's own, without anything of the client's
	Server  string // the old_host of the service, "*.example.com" as it stands
	Path    string // normalized, as migration.Table routes it
	Scheme  migration.Scheme
	Address netip.AddrPort
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
	words, line, ok := strings.Cut(line, ", client: ")
	if !ok {
		return Complaint{}, false
	}
	c, ok := said(words)
	if !ok {
		return Complaint{}, false
	}
	_, line, ok = strings.Cut(line, ", server: ")
	if !ok {
		return Complaint{}, false
	}
	c.Server, line, ok = strings.Cut(line, `, request: "`)
	return c, ok && c.Server != "" && c.readRequest(line)
}

// form is the beginning of a message, and what it means.
type form struct {
	begins  string
	whole   bool // nothing follows
	failure fallback.Failure
}

// brokenOff are the ends of an answer that are none. nginx passes an answer on
// as it comes: when it notices that there is no more, it has just been reading
// or just been sending, as chance will have it.
var brokenOff = []form{
	{"upstream prematurely closed connection", true, fallback.FailureReset},
	{"upstream sent invalid chunked response", true, fallback.FailureReset},
	{"recv() failed (", false, fallback.FailureReset},
	{"readv() failed (", false, fallback.FailureReset},
	{"SSL_read() failed (", false, fallback.FailureReset},
}

// doing is what nginx was at, the forms that it then may say, and the stage.
var doing = map[string]struct {
	stage Stage
	forms []form
}{
	"sending to client": {Body, brokenOff},
	"reading upstream":  {Body, append(slices.Clip(brokenOff), form{"upstream timed out (", false, fallback.FailureTimeout})},
	"SSL handshaking to upstream": {Handshake, []form{
		{"SSL_do_handshake() failed (", false, fallback.FailureTLS},
		{"upstream SSL certificate verify error: (", false, fallback.FailureTLS},
		{"upstream SSL certificate does not match ", false, fallback.FailureTLS},
		{"peer closed connection in SSL handshake", false, fallback.FailureTLS},
		{"upstream timed out (", false, fallback.FailureTLS},
	}},
}

// said reads "MESSAGE while DOING".
func said(words string) (Complaint, bool) {
	at := strings.LastIndex(words, " while ")
	if at < 0 {
		return Complaint{}, false
	}
	message, found := words[:at], doing[words[at+len(" while "):]]
	for _, f := range found.forms {
		if message == f.begins || !f.whole && strings.HasPrefix(message, f.begins) {
			return Complaint{Stage: found.stage, Failure: f.failure, Words: words}, true
		}
	}
	return Complaint{}, false
}

// readRequest reads `GET /path HTTP/1.1", upstream: "https://192.0.2.7:443/`.
func (c *Complaint) readRequest(line string) bool {
	_, line, _ = strings.Cut(line, " ")
	target, line, _ := strings.Cut(line, " ")
	version, line, ok := strings.Cut(line, `", upstream: "`)
	if !ok || len(version) != len("HTTP/1.1") || !strings.HasPrefix(version, "HTTP/1.") {
		return false
	}
	if c.Path, ok = migration.NormalizePath(pathOf(target)); !ok {
		return false
	}
	return c.readUpstream(line)
}

// pathOf leaves scheme and host out of a target in absolute form.
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

// readUpstream reads `https://192.0.2.7:443/path"`. A backend without an
// address is a unix socket of ours, and no address.
func (c *Complaint) readUpstream(text string) bool {
	scheme, text, _ := strings.Cut(text, "://")
	c.Scheme = migration.Scheme(scheme)
	end := strings.IndexAny(text, `/?"`)
	if end < 0 || c.Scheme != migration.HTTP && c.Scheme != migration.HTTPS {
		return false
	}
	var err error
	c.Address, err = netip.ParseAddrPort(text[:end])
	return err == nil
}

package migration

import (
	"maps"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Request is what the decision looks at, already taken apart.
type Request struct {
	Host   string            // as the client wrote it, port and case included
	Target string            // path with query, as in the request line
	Header map[string]string // by HeaderName.Key; "cookie" holds the cookies
	Client netip.Addr        // after X-Forwarded-For from trusted proxies; zero if unknown
	Dice   string            // nginx's $request_id; "" when not yet thrown
	Direct bool              // came in on the always-new listener
	// Tripped is set when the service's fallback has tripped: a state of the
	// proxy, not of the request.
	Tripped bool
}

// FoldHeaders makes one value of each repeated header, as nginx has it: since
// 1.23 joined by ", " (joins true), before that the first one alone. Cookies
// are joined by "; " in every version, and X-Forwarded-For by ", ". Names that
// differ only in '-' against '_' are one header; the wire's order of the two is
// not known here, so '-' comes first.
func FoldHeaders(header http.Header, joins bool) map[string]string {
	values := make(map[string][]string, len(header))
	for _, name := range slices.Sorted(maps.Keys(header)) {
		key := headerKey(name)
		values[key] = append(values[key], header[name]...)
	}
	folded := make(map[string]string, len(header))
	for key, all := range values {
		switch {
		case key == "cookie":
			folded[key] = strings.Join(all, "; ")
		case joins || key == "x_forwarded_for":
			folded[key] = strings.Join(all, ", ")
		case len(all) > 0:
			folded[key] = all[0]
		}
	}
	return folded
}

// ClientAddress gives the address that rules and hashes see: the peer's, or
// when the peer is trusted the right-most address of X-Forwarded-For that is
// not itself trusted (the left-most if all are). Commas and spaces separate;
// an entry that is no address ends the search. nginx's real_ip_recursive,
// src/http/ngx_http_core_module.c, ngx_http_get_forwarded_addr_internal. Of
// what is no address to anybody else nginx takes some ("1..2.3", "::1:"); here
// it is none.
func ClientAddress(peer netip.Addr, forwardedFor string, trusted []netip.Prefix) netip.Addr {
	client, rest := peer, forwardedFor
	for containedIn(trusted, client) {
		rest = strings.TrimRight(rest, " ,")
		cut := strings.LastIndexAny(rest, " ,")
		if cut == 0 {
			break // nginx takes a separator in front for part of the entry
		}
		addr, ok := parseForwarded(rest[cut+1:])
		if !ok {
			break
		}
		client, rest = addr, rest[:max(cut, 0)]
	}
	return client
}

// parseForwarded reads "1.2.3.4", "1.2.3.4:80", "2001:db8::1" or
// "[2001:db8::1]:80". Brackets need a port, and no port is 0: nginx
// src/core/ngx_inet.c, ngx_parse_addr_port.
func parseForwarded(text string) (netip.Addr, bool) {
	if addr, ok := parseForwardedAddr(text); ok {
		return addr, true
	}
	host, port, ok := strings.Cut(text, ":")
	if inside, bracketed := strings.CutPrefix(text, "["); bracketed {
		host, port, ok = strings.Cut(inside, "]:")
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if !ok || err != nil || number == 0 {
		return netip.Addr{}, false
	}
	return parseForwardedAddr(host)
}

// leadingZeros are those of an octet, which nginx takes for decimal.
var leadingZeros = regexp.MustCompile(`(^|\.)0+([0-9])`)

func parseForwardedAddr(text string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(leadingZeros.ReplaceAllString(text, "$1$2"))
	return addr, err == nil && addr.Zone() == ""
}

func containedIn(networks []netip.Prefix, addr netip.Addr) bool {
	for _, network := range networks {
		if network.Contains(addr.Unmap()) {
			return true
		}
	}
	return false
}

// cookie finds a cookie by its exact name: the first NAME=value with a value,
// at the start or after a ';' with white space.
func cookie(header, name string) string {
	for i, part := range strings.Split(header, ";") {
		if i > 0 {
			part = strings.TrimLeft(part, " \t\n\v\f\r")
		}
		if value, ok := strings.CutPrefix(part, name+"="); ok && value != "" {
			return value
		}
	}
	return ""
}

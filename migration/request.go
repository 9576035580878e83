package migration

import (
	"iter"
	"maps"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Request has the parts of a request that Decide needs.
type Request struct {
	Host   string            // the Host header, with its port and case
	Target string            // path with query, as in the request line
	Header map[string]string // by HeaderName.Key; "cookie" has all cookies; Host may be left out
	Client netip.Addr        // the result of ClientAddress; zero if unknown
	Dice   string            // what nginx hashes where no user is known; "" if unknown
	Direct bool              // the request came in on the always-new listener
	// Tripped is true if the service's fallback has tripped. It is a state of the
	// proxy, not of the request.
	Tripped bool
}

// header gives the value of a header by its HeaderName.Key. A rule or a hash_key
// may name Host too, which nginx has in $http_host.
func (r Request) header(key string) string {
	if value, ok := r.Header[key]; ok || key != "host" {
		return value
	}
	return r.Host
}

// exactNames are the headers with a '-' that nginx knows by name and has variables of:
// User_Agent is not User-Agent.
var exactNames = map[string]bool{"user_agent": true, "x_forwarded_for": true}

// Keep gives the request headers that nginx reads: without DropInvalidHeaders all of them.
func (g Global) Keep(header http.Header) http.Header {
	if !g.DropInvalidHeaders {
		return header
	}
	kept := maps.Clone(header)
	maps.DeleteFunc(kept, func(name string, _ []string) bool {
		return strings.ContainsFunc(name, func(c rune) bool {
			return c != '-' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z')
		})
	})
	return kept
}

// FoldHeaders makes one value of each repeated header, as nginx does. Since 1.23
// nginx joins the values with ", " (joins is true); older versions use the first
// value. All versions join cookies with "; " and X-Forwarded-For with ", ". Names
// that differ only in '-' and '_' are the same header, but for exactNames. The order of
// the two in the request is not known here, so the name with '-' comes first.
func FoldHeaders(header http.Header, joins bool) map[string]string {
	values := make(map[string][]string, len(header))
	for _, name := range slices.Sorted(maps.Keys(header)) {
		key := headerKey(name)
		if exactNames[key] && strings.Contains(name, "_") {
			continue
		}
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

// ClientAddress gives the address that rules and hashes use: the peer's address or,
// if the peer is trusted, the right-most address of X-Forwarded-For that is not
// trusted (the left-most one if all are trusted). Commas and spaces separate the
// entries, and an entry that is not an address ends the search. This is nginx's
// real_ip_recursive: ngx_http_get_forwarded_addr_internal in
// src/http/ngx_http_core_module.c. nginx accepts some invalid addresses ("1..2.3",
// "::1:"); this function does not.
func ClientAddress(peer netip.Addr, forwardedFor string, trusted []netip.Prefix) netip.Addr {
	client, rest := peer, forwardedFor
	for containedIn(trusted, client) {
		rest = strings.TrimRight(rest, " ,")
		cut := strings.LastIndexAny(rest, " ,")
		if cut == 0 {
			break // for nginx a separator at the start is part of the entry
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
// "[2001:db8::1]:80". Brackets require a port, and port 0 is invalid:
// ngx_parse_addr_port in src/core/ngx_inet.c of nginx.
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

// leadingZeros finds the leading zeros of an octet; nginx reads such an octet as
// decimal.
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

// cookie gives the value of a cookie: the first one that is not empty.
func cookie(header, name string) string {
	for value := range cookies(header, name) {
		if value != "" {
			return value
		}
	}
	return ""
}

// cookies gives the values of all cookies NAME=VALUE with exactly this name, at the
// start or after a ';' and white space.
func cookies(header, name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i, part := range strings.Split(header, ";") {
			if i > 0 {
				part = strings.TrimLeft(part, " \t\n\v\f\r")
			}
			if value, ok := strings.CutPrefix(part, name+"="); ok && !yield(value) {
				return
			}
		}
	}
}

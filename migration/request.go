package migration

import (
	"net/http"
	"net/netip"
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
// are joined by "; " in every version.
func FoldHeaders(header http.Header, joins bool) map[string]string {
	folded := make(map[string]string, len(header))
	for name, values := range header {
		key := headerKey(name)
		switch {
		case key == "cookie":
			folded[key] = strings.Join(values, "; ")
		case joins:
			folded[key] = strings.Join(values, ", ")
		case len(values) > 0:
			folded[key] = values[0]
		}
	}
	return folded
}

// ClientAddress gives the address that rules and hashes see: the peer's, or
// when the peer is trusted the right-most address of X-Forwarded-For that is
// not itself trusted (the left-most if all are). An entry that is no address
// ends the search. nginx's real_ip_recursive.
func ClientAddress(peer netip.Addr, forwardedFor string, trusted []netip.Prefix) netip.Addr {
	client := peer
	rest := forwardedFor
	for rest != "" && containedIn(trusted, client) {
		cut := strings.LastIndexByte(rest, ',')
		addr, err := parseForwarded(strings.TrimSpace(rest[cut+1:]))
		if err != nil {
			break
		}
		client, rest = addr, rest[:max(cut, 0)]
	}
	return client
}

// parseForwarded reads "1.2.3.4", "1.2.3.4:80", "2001:db8::1" or
// "[2001:db8::1]:80".
func parseForwarded(text string) (netip.Addr, error) {
	if pair, err := netip.ParseAddrPort(text); err == nil {
		return pair.Addr(), nil
	}
	return netip.ParseAddr(strings.Trim(text, "[]"))
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

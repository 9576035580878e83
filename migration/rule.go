package migration

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"github.com/migration-proxy/migration-proxy/internal/excerpt"
)

// HeaderName is the name of a request header, with its case. Names that differ only
// in case, or in '-' and '_', are the same header for nginx, but for User-Agent and
// X-Forwarded-For: see FoldHeaders.
type HeaderName string

var headerPattern = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9_-]{0,126}[A-Za-z0-9])?$`)

// ParseHeaderName reads a header's name.
func ParseHeaderName(text string) (HeaderName, error) {
	if !headerPattern.MatchString(text) {
		return "", fmt.Errorf("%s is not a header name: use letters, digits, '-' and '_', at most 128 characters", excerpt.Quoted(text))
	}
	return HeaderName(text), nil
}

// Key is the name in nginx's $http_ variables, in lower case and with '_' for '-':
// "X-User-ID" gives "x_user_id".
func (h HeaderName) Key() string { return headerKey(string(h)) }

func headerKey(name string) string {
	return strings.ReplaceAll(strings.ToLower(name), "-", "_")
}

// HeaderRule sends a request with a matching header to Target. Exactly one of Value
// (the whole value, with case) and Pattern (anywhere in the value) is set. A header
// that is absent or empty matches no rule.
type HeaderRule struct {
	Header  HeaderName
	Value   string
	Pattern *Pattern
	Target  Side
}

// ParseHeaderValue reads the value that a header rule compares with. A client that
// knows it can use the rule, so no error repeats it.
func ParseHeaderValue(text string) (string, error) {
	if text == "" || len(text) > 512 {
		return "", errors.New("not a header value: use 1 to 512 characters; an absent header matches no rule")
	}
	if strings.TrimSpace(text) != text {
		return "", errors.New("not a header value: HTTP removes spaces around a value, so it can never match")
	}
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return "", errors.New("not a header value: use printable ASCII only")
		}
	}
	return text, nil
}

// Matches tells whether a request's header value satisfies the rule.
func (r HeaderRule) Matches(value string) bool {
	switch {
	case value == "":
		return false
	case r.Pattern != nil:
		return r.Pattern.Match(value)
	}
	return value == r.Value
}

// IPRule sends a client address inside Network to Target.
type IPRule struct {
	Network netip.Prefix
	Target  Side
}

// ParseNetwork reads a network in CIDR form without host bits, or a single
// address.
func ParseNetwork(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	network, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%s is not a network: write it like 10.0.0.0/8 or 2001:db8::/32", excerpt.Quoted(text))
	}
	if network.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%s is not a network: write the IPv4 network itself", excerpt.Quoted(text))
	}
	if network.Masked() != network {
		return netip.Prefix{}, fmt.Errorf("%s has bits set after the prefix: did you mean %s?", excerpt.Quoted(text), network.Masked())
	}
	return network, nil
}

// mostSpecific gives the index, in file order, of the rule with the longest network
// that contains the address; -1 if there is none.
func mostSpecific(rules []IPRule, addr netip.Addr) int {
	found := -1
	for i, rule := range rules {
		if rule.Network.Contains(addr.Unmap()) && (found < 0 || rule.Network.Bits() > rules[found].Network.Bits()) {
			found = i
		}
	}
	return found
}

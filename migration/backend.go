package migration

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/migration-proxy/migration-proxy/internal/excerpt"
)

// Scheme is the protocol of a backend.
type Scheme string

// The schemes.
const (
	HTTP  Scheme = "http"
	HTTPS Scheme = "https"
)

func (s Scheme) defaultPort() uint16 {
	if s == HTTPS {
		return 443
	}
	return 80
}

// Backend is the address of a side. Host is a DNS name in lower case or an IP
// address without brackets.
type Backend struct {
	Scheme Scheme
	Host   string
	Port   uint16
}

// ParseBackend reads "host:port" or "scheme://host[:port]". Without a scheme,
// port 443 means https and any other port http.
func ParseBackend(text string) (Backend, error) {
	scheme, rest, written := strings.Cut(text, "://")
	if !written {
		scheme, rest = "", text
	} else if scheme != string(HTTP) && scheme != string(HTTPS) {
		return Backend{}, fmt.Errorf("%s is not a backend: the scheme must be http or https", excerpt.Quoted(text))
	}
	host, port, err := splitHostPort(rest, Scheme(scheme))
	if err != nil {
		return Backend{}, fmt.Errorf("%s is not a backend: %w", excerpt.Quoted(text), err)
	}
	if scheme == "" {
		scheme = string(HTTP)
		if port == 443 {
			scheme = string(HTTPS)
		}
	}
	return Backend{Scheme: Scheme(scheme), Host: host, Port: port}, nil
}

func splitHostPort(text string, scheme Scheme) (string, uint16, error) {
	bare := strings.HasSuffix(text, "]") || !strings.Contains(text, ":")
	if bare && scheme == "" {
		return "", 0, fmt.Errorf("write host:port, or a scheme before it")
	}
	if bare {
		text += ":" + strconv.Itoa(int(scheme.defaultPort()))
	}
	hostText, portText, err := net.SplitHostPort(text)
	if err != nil {
		return "", 0, fmt.Errorf("write host:port; an IPv6 address needs [brackets]")
	}
	if portText == Placeholder {
		return "", 0, fmt.Errorf("port %s is what 'migration-proxy scan' writes for a named port that it does not find; write its number", portText)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || port == 0 || !digits(portText) {
		return "", 0, fmt.Errorf("port %s is not a number from 1 to 65535", excerpt.Quoted(portText))
	}
	host, err := parseBackendHost(hostText)
	return host, uint16(port), err
}

func parseBackendHost(text string) (string, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		if addr.Zone() != "" || addr.IsUnspecified() {
			return "", fmt.Errorf("address %s cannot be connected to", excerpt.Quoted(text))
		}
		return addr.Unmap().String(), nil
	}
	host, err := ParseHost(text)
	return string(host), err
}

// Addr gives the backend's host as an IP address; false if it is a DNS name.
func (b Backend) Addr() (netip.Addr, bool) {
	addr, err := netip.ParseAddr(b.Host)
	return addr, err == nil
}

// HostPort is "host:port", with brackets around an IPv6 address.
func (b Backend) HostPort() string {
	return net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
}

// String is the backend with its scheme; ParseBackend reads it back.
func (b Backend) String() string { return string(b.Scheme) + "://" + b.HostPort() }

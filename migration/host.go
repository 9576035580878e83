package migration

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/migration-proxy/migration-proxy/internal/excerpt"
)

// Name is a service's name: lower-case letters, digits, '-', '_' and '.',
// starting and ending with a letter or digit, at most 63 characters. It is
// used as a file name, a metric label and an nginx identifier.
type Name string

var namePattern = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$`)

// ParseName reads a service or cohort name.
func ParseName(text string) (Name, error) {
	if !namePattern.MatchString(text) {
		return "", fmt.Errorf("%s is not a name: use 1 to 63 lower-case letters, digits, '-', '_' or '.', starting and ending with a letter or digit", excerpt.Quoted(text))
	}
	return Name(text), nil
}

// Placeholder stands for a host of new that nobody has said yet: the command scan writes
// it, and package config refuses it.
const Placeholder = "CHANGE-ME"

// Host is a DNS name in lower case without port and without trailing dot. As
// the old host of a service it may begin with "*.", which stands for one or
// more labels.
type Host string

var labelPattern = regexp.MustCompile(`^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$`)

// ParseHost reads a host name without wildcard. Upper case is folded.
func ParseHost(text string) (Host, error) {
	host := strings.ToLower(text)
	switch {
	case strings.Contains(host, "://"):
		return "", fmt.Errorf("%s is not a host name: leave the scheme out", excerpt.Quoted(text))
	case strings.HasSuffix(host, "."):
		return "", fmt.Errorf("%s is not a host name: leave the final dot out", excerpt.Quoted(text))
	case strings.Contains(host, ":"):
		return "", fmt.Errorf("%s is not a host name: leave the port out", excerpt.Quoted(text))
	case len(host) > 253:
		return "", fmt.Errorf("%s is not a host name: longer than 253 characters", excerpt.Quoted(text))
	}
	for label := range strings.SplitSeq(host, ".") {
		if !labelPattern.MatchString(label) {
			return "", fmt.Errorf("%s is not a host name: use letters, digits, '-' and '.', at most 63 characters between dots", excerpt.Quoted(text))
		}
	}
	return Host(host), nil
}

// ParseOldHost reads a host name that may begin with "*.".
func ParseOldHost(text string) (Host, error) {
	rest, wildcard := strings.CutPrefix(text, "*.")
	host, err := ParseHost(rest)
	if err != nil || !wildcard {
		return host, err
	}
	return "*." + host, nil
}

// Wildcard tells whether the host begins with "*.".
func (h Host) Wildcard() bool { return strings.HasPrefix(string(h), "*.") }

// NormalizeHost gives the text that nginx compares with its server names: the Host
// header in lower case, without port and without one trailing dot.
// "API.example.com.:8000" becomes "api.example.com".
func NormalizeHost(header string) string {
	host := strings.ToLower(header)
	if strings.HasPrefix(host, "[") {
		if end := strings.IndexByte(host, ']'); end > 0 {
			return host[:end+1]
		}
	}
	host, _, _ = strings.Cut(host, ":")
	return strings.TrimSuffix(host, ".")
}

package nginxgen

import (
	"fmt"
	"regexp"
	"strconv"
)

// Version is the version of nginx. Before compares two versions.
type Version struct{ Major, Minor, Patch int }

var versionPattern = regexp.MustCompile(`nginx/(\d+)\.(\d+)\.(\d+)`)

// ParseVersion reads the output of nginx -v: "nginx version: nginx/1.22.1". It
// fails if the text has no version.
func ParseVersion(text string) (Version, error) {
	match := versionPattern.FindStringSubmatch(text)
	if match == nil {
		return Version{}, fmt.Errorf("no nginx version in %q", text)
	}
	var number [3]int
	for i := range number {
		n, err := strconv.Atoi(match[i+1])
		if err != nil {
			return Version{}, fmt.Errorf("nginx version in %q: %w", text, err)
		}
		number[i] = n
	}
	return Version{number[0], number[1], number[2]}, nil
}

// String gives the version as text, as in "1.22.1".
func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch) }

// Before tells whether v is older than w.
func (v Version) Before(w Version) bool {
	if v.Major != w.Major {
		return v.Major < w.Major
	}
	if v.Minor != w.Minor {
		return v.Minor < w.Minor
	}
	return v.Patch < w.Patch
}

// NeedsDrain tells whether a reload loses requests on idle keep-alive connections
// unless a "Connection: close" is sent first: so before 1.27.4, which has
// keepalive_min_timeout.
func (v Version) NeedsDrain() bool { return v.Before(Version{1, 27, 4}) }

// sharesTLS tells whether locations with equal TLS directives share one TLS
// context (from 1.23.2 on). Before, each location parses the trusted certificates
// again: with 1,000 services and Debian's bundle, nginx -t took 50 s and 1.7 GB.
func (v Version) sharesTLS() bool { return !v.Before(Version{1, 23, 2}) }

// heedsLastVaryOnly tells whether the cache ignores all lines of Vary but the last
// (before 1.23.0).
func (v Version) heedsLastVaryOnly() bool { return v.Before(Version{1, 23, 0}) }

// joinsLines tells whether variables of headers have all lines of a header, joined by
// ", " (from 1.23.0 on). Before, they have only the first.
func (v Version) joinsLines() bool { return !v.Before(Version{1, 23, 0}) }

// passesTrailers tells whether a backend's trailers can reach the client (from
// 1.27.2 on).
func (v Version) passesTrailers() bool { return !v.Before(Version{1, 27, 2}) }

// passesHints tells whether nginx knows "103 Early Hints" (from 1.29.0 on).
// Before, nginx takes 103 for the final response: the client gets both, but its
// connection serves no more requests until the backend closes its connection.
func (v Version) passesHints() bool { return !v.Before(Version{1, 29, 0}) }

// detectsHTTP2 tells whether a port may take HTTP/1.1 and HTTP/2 (from 1.25.1 on).
// Before, a port without TLS takes one of them.
func (v Version) detectsHTTP2() bool { return !v.Before(Version{1, 25, 1}) }

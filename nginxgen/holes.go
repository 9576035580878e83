package nginxgen

import "slices"

// Hole is a published weakness of nginx that the configs of this package touch.
type Hole struct {
	// ID is the number of the CVE, or the version whose list of changes describes it.
	ID string
	// What says what an attacker can do.
	What string
	// FixedIn are the first versions without it: one of each stable branch that got the
	// fix, and at the end the first one of all later versions.
	FixedIn []Version
}

// holes are taken from nginx's list of changes (nginx.org/en/CHANGES and CHANGES-1.30) and
// security advisories. What needs a directive that no config has (rewrite, alias, resolver,
// slice, charset_map, ssi, mp4, ssl_*, http3, proxy_set_body, or header buffers of
// megabytes: CVE-2026-42055) is not listed; TestHolesNeedDirectivesOfOurs shows that the
// configs have none of them.
var holes = []Hole{
	{
		ID:      "nginx-1.21.1",
		What:    "requests with Content-Length and Transfer-Encoding, or with control characters in header names, are passed on: request smuggling",
		FixedIn: []Version{{1, 21, 1}},
	},
	{
		ID:      "CVE-2023-44487",
		What:    "HTTP/2 streams that are reset at once use up the CPU; only on the port for gRPC",
		FixedIn: []Version{{1, 25, 3}},
	},
	{
		ID:      "CVE-2026-1642",
		What:    "somebody between the proxy and a backend with https can put plain text in front of its answer",
		FixedIn: []Version{{1, 28, 2}, {1, 29, 5}},
	},
	{
		ID:      "CVE-2026-42533",
		What:    "a request can write past a buffer where a map has regular expressions, as in each config of this proxy",
		FixedIn: []Version{{1, 30, 4}, {1, 31, 3}},
	},
}

// Holes gives the known holes of this version. Distributors mend holes without changing
// the version, so it may have fewer.
func (v Version) Holes() []Hole {
	return slices.DeleteFunc(slices.Clone(holes), func(h Hole) bool { return v.hasFix(h) })
}

// hasFix tells whether a version has the fix of a hole: it is as new as a fix in its own
// branch, or as the newest one.
func (v Version) hasFix(h Hole) bool {
	last := h.FixedIn[len(h.FixedIn)-1]
	return !v.Before(last) || slices.ContainsFunc(h.FixedIn, func(fix Version) bool {
		return v.Major == fix.Major && v.Minor == fix.Minor && !v.Before(fix)
	})
}

// Recommended is the newest stable release of the time when the list of holes was written.
var Recommended = Version{1, 30, 5}

package nginxgen

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// urlPattern matches a URL and all that follows it. Its host may be a name of new,
// which $mp_url_new translates. The names of the groups are variables, so no map that
// uses them may evaluate another one with this expression in the same value.
const urlPattern = `(?<mp_url>(?<mp_url_quote>["']?)(?<mp_url_scheme>(?:https?:|wss?:)?)//(?<mp_url_user>[^/?#@]*@)?` +
	`(?<mp_url_host>[a-z0-9._-]*?[a-z0-9_-])\.?(?::[0-9]*)?(?<mp_url_rest>(?:[/?#"' ,;>].*)?))\z`

// answerNames gives the directives that translate the names of new in answers to the
// names that clients use: redirects, cookies, and the headers of answerHeaders. All
// services share them, because the names are in variables. @old switches them off,
// see oldAnswers.
func (d *draft) answerNames() directives {
	lines := directives{
		line("proxy_redirect", `~*\A`+urlPattern, "$mp_url_new"),
		line("proxy_cookie_domain", "$mp_host", "$mp_client_host"),
	}
	lines = append(lines, d.clientOrigin()...)
	lines = append(lines, d.urlMaps()...)
	return append(lines, d.cookieParents()...)
}

// clientOrigin gives the maps of scheme and port as the client used them. They are
// evaluated only for answers with a name of new.
func (d *draft) clientOrigin() directives {
	said := "$http_x_forwarded_proto|$http_x_forwarded_ssl|$http_x_forwarded_scheme|$http_forwarded"
	lines := directives{}
	if !d.params.BehindControllers && d.trustsProxies() {
		lines = append(lines, mapping("$mp_trusted", "$mp_said_scheme", "1", said, "default", ""))
		said = "$mp_said_scheme"
	}
	return append(lines,
		// The first element of a list is what the proxy nearest to the client saw.
		mapping(said, "$mp_client_scheme",
			`~*\A *(?:https|wss)\b`, "https",
			`~*\A *(?:http|ws)\b`, "http",
			`~*\A[^|]*\|on\|`, "https",
			`~*\A[^|]*\|[^|]*\| *(?:https|wss)\b`, "https",
			`~*\A[^|]*\|[^|]*\| *(?:http|ws)\b`, "http",
			`~*\A(?:[^|]*\|){3}[^,]*\bproto *= *"?(?:https|wss)\b`, "https",
			`~*\A(?:[^|]*\|){3}[^,]*\bproto *= *"?(?:http|ws)\b`, "http",
			"default", "$scheme"),
		mapping("$mp_client_authority", "$mp_client_port", `~(:[0-9]+)\z`, "$1", "default", ""),
	)
}

// urlMaps gives the maps that translate the URL that urlPattern found last.
func (d *draft) urlMaps() directives {
	const schemes = "$mp_client_scheme $mp_url_scheme"
	return directives{
		// https stays https: the application sends the client from http to https.
		// The port of http is then the wrong one.
		volatileMapping(schemes, "$mp_url_new_scheme",
			"http http:", "http:", "https http:", "https:", "http https:", "https:", "https https:", "https:",
			"http ws:", "ws:", "https ws:", "wss:", "http wss:", "wss:", "https wss:", "wss:", "default", "$mp_client_scheme:"),
		volatileMapping(schemes, "$mp_url_port", "http https:", "", "http wss:", "", "default", "$mp_client_port"),
		d.otherServices(),
		volatileMapping("$mp_url_host $mp_host", "$mp_url_name", `~*\A(\S+) \1\z`, "$mp_client_host", "default", "$mp_url_other"),
		volatileMapping("$mp_url_name", "$mp_url_new", "", "$mp_url",
			"default", "$mp_url_quote$mp_url_new_scheme//$mp_url_user$mp_url_name$mp_url_port$mp_url_rest"),
	}
}

// otherServices translates the hosts of other services: a redirect to the single
// sign-on of the new cluster leads to the one that clients know. A host is left as it
// is when services with different old hosts share it, when the old host is a wildcard,
// and when clients use the name for a service themselves.
func (d *draft) otherServices() *directive {
	old := map[string]string{}
	for _, s := range d.table.Services() {
		name := string(s.OldHost)
		if other, known := old[string(s.NewHost)]; known && other != name {
			name = ""
		}
		if s.OldHost.Wildcard() || len(d.table.OfHost(s.NewHost)) > 0 {
			name = ""
		}
		old[string(s.NewHost)] = name
	}
	var pairs []string
	for _, host := range slices.Sorted(maps.Keys(old)) {
		if old[host] != "" {
			pairs = append(pairs, mapKey(host), old[host])
		}
	}
	return volatileMapping("$mp_url_host", "$mp_url_other", append(pairs, "default", "")...)
}

// mapKey writes a host as the key of a map: nginx reads some words there as its own.
func mapKey(host string) string {
	switch host {
	case "default", "hostnames", "include", "volatile":
		return `\` + host
	}
	return host
}

// cookieParents translates the domain of a cookie that is a parent of new_host, such
// as new.example.com: browsers refuse it under the name that the client used. It
// becomes the smallest domain with the old hosts of all services that are below it at
// new, as these shared the cookie. Where they have no domain in common, it becomes the
// client's host. A domain that an old host is below already stays.
func (d *draft) cookieParents() directives {
	var inside, become []string
	parents := d.sharedDomains()
	for _, parent := range slices.Sorted(maps.Keys(parents)) {
		inside = append(inside, "*."+parent, parent)
		become = append(become, mapKey(parent), cmp.Or(parents[parent], "$mp_client_host"))
	}
	levels := []string{"1"}
	if nested(parents) { // as for a.b.new.example.com
		levels = append(levels, "2")
	}
	lines := directives{}
	below := "$mp_host"
	for _, level := range levels {
		at, to := "$mp_parent_"+level, "$mp_wide_"+level
		lines = append(lines,
			block("map", []string{below, at}, directives{line("hostnames")}, pairLines(append(inside, "default", "-"))),
			mapping(at, to, append(become, "default", "")...),
			line("proxy_cookie_domain", at, to))
		below = at
	}
	return lines
}

// nested tells whether one of the domains is below another.
func nested(domains map[string]string) bool {
	for domain := range domains {
		if slices.ContainsFunc(parentDomains(domain), func(above string) bool { _, is := domains[above]; return is }) {
			return true
		}
	}
	return false
}

// sharedDomains gives the parents of new hosts that cookieParents translates, each
// with the domain that it becomes; "" means that the old hosts have none in common.
func (d *draft) sharedDomains() map[string]string {
	domains, left := map[string]string{}, map[string]bool{}
	for _, s := range d.table.Services() {
		old := strings.TrimPrefix(string(s.OldHost), "*.")
		for _, parent := range parentDomains(string(s.NewHost)) {
			shared, seen := domains[parent]
			if !seen {
				shared = old
			}
			domains[parent] = commonDomain(shared, old)
			left[parent] = left[parent] || isBelow(string(s.OldHost), parent)
		}
	}
	maps.DeleteFunc(domains, func(parent, _ string) bool { return left[parent] })
	return domains
}

// parentDomains gives the first three domains above a host that have at least two
// labels.
func parentDomains(host string) []string {
	var parents []string
	for len(parents) < 3 {
		_, rest, _ := strings.Cut(host, ".")
		if !strings.Contains(rest, ".") {
			break
		}
		parents, host = append(parents, rest), rest
	}
	return parents
}

// isBelow tells whether a host is the domain or below it.
func isBelow(host, domain string) bool { return host == domain || strings.HasSuffix(host, "."+domain) }

// commonDomain gives the smallest domain of two labels or more that both hosts are
// below, or "".
func commonDomain(a, b string) string {
	for strings.Contains(a, ".") && !isBelow(b, a) {
		_, a, _ = strings.Cut(a, ".")
	}
	if !strings.Contains(a, ".") {
		return ""
	}
	return a
}

// oldAnswers keeps the names and headers in the answers of old. Its one hidden header is
// the whole list: that of the http block is not inherited.
func (d *draft) oldAnswers() directives {
	return directives{line("proxy_redirect", "off"), line("proxy_cookie_domain", "off"), line("proxy_hide_header", "Alt-Svc")}
}

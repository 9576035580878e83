package behavior

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// The values of random configs and random requests. There are few, so that
// requests often match a config.
var (
	hosts    = []string{"a.example.com", "b.example.com", "c.example.com", "*.wild.example.com", "*.deep.wild.example.com"}
	prefixes = []string{"/", "/api", "/API", "/api/v1", "/a-b_c.d~e", "/x:y@z"}
	headers  = []string{"X-Migration-Target", "X-Client", "X-User-ID", "User-Agent", "User_Agent", "X_Forwarded_For", "X-Forwarded-For", "x_under_score", "Host"}
	values   = []string{"new", "NEW", "beta-7", "beta-77x", "a b", `q"uo'te`, `b\ack{brace};$dollar`, "comma, separated", "~tilde", "default", "a.example.com", "b.example.com:8000"}
	patterns = []string{"^[ab].example", "^beta-[0-9]+$", "beta", "^(new|old)$", "(?i)^new$", `[^a-z]`, `^.{3}$`, `\bquo\b`, `"`, `^a b|\$d`, "x*", `\w+,\s\w+`, `^[^b]*$`}
	networks = []string{"127.0.0.0/8", "127.0.0.1", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3", "2001:db8::/32", "2001:db8:1::/48", "192.0.2.0/24", "0.0.0.0/0", "0.0.0.0/1", "::/0"}
	clients  = []string{"", "10.9.9.9", "10.1.9.9", "10.1.2.9", "10.1.2.3", "2001:db8::5", "2001:db8:1::5", "192.0.2.1", "203.0.113.7", "::ffff:10.1.2.3", "203.0.113.7, 10.1.2.3", "nonsense", "10.1.2.3, nonsense", "[2001:db8::5]:80", "10.1.2.3:99"}
	cookies  = []string{"", "user-id=u1", "user-id=u2; other=3", "other=user-id=u4;user-id=u5", "user-id=", "user-id=; user-id=u6", `user-id="q;x"`, "xuser-id=u7", "a=b;  user-id=u8",
		"migration-proxy=0000", "user-id=0107; migration-proxy=9999", "a=migration-proxy=0001; migration-proxy=3000;user-id=0000", "migration-proxy=12345; user-id=123; user-id=4990", "migration-proxy=0009;migration-proxy=9990", "user-id= 0001; user-id=\"0001\""}
	shares = []string{"0", "0.01", "1", "20", "33.33", "50", "99.99", "100"}
)

type random struct{ *rand.Rand }

func (r random) pick(from []string) string { return from[r.IntN(len(from))] }

// configText returns a valid migration config; old and new are backends.
func (r random) configText(old, new string) string {
	var out strings.Builder
	fmt.Fprintf(&out, "global:\n  debug_headers: true\n  drop_invalid_headers: %t\n  trusted_proxies: [\"127.0.0.0/8\", \"10.1.2.3\"]\nservices:\n", r.IntN(4) == 0)
	n := 0
	for _, host := range hosts {
		for _, prefix := range prefixes {
			if r.IntN(3) == 0 {
				continue
			}
			r.service(&out, fmt.Sprintf("s%d", n), host, prefix)
			fmt.Fprintf(&out, "    old_backend: %s\n    new_backend: %s\n", old, new)
			n++
		}
	}
	if n == 0 {
		return strings.TrimSuffix(out.String(), "services:\n") + "services: []\n"
	}
	return out.String()
}

func (r random) service(out *strings.Builder, name, host, prefix string) {
	fmt.Fprintf(out, "  - name: %s\n    old_host: %q\n    path_prefix: %q\n    new_host: new.example.com\n", name, host, prefix)
	strategy := r.pick([]string{"weight", "user_hash", "user_hash", "header", "ip"})
	fmt.Fprintf(out, "    migration:\n      enabled: %t\n      strategy: %s\n      percentage: %s\n", r.IntN(8) > 0, strategy, r.pick(shares))
	if strategy == "user_hash" {
		key, cohort := r.pick([]string{"header:X-User-ID", "header:x_under_score", "header:Host", "cookie:user-id", "ip", "sticky", "sticky:user-id"}), r.pick([]string{"", "all", "some"})
		if strings.HasPrefix(key, "sticky") {
			cohort = "" // such a cohort has one host
		}
		fmt.Fprintf(out, "      hash_key: %q\n      cohort: %q\n", key, cohort)
	}
	fmt.Fprintf(out, "    fallback: {enabled: %t, on_status: [%s]}\n", r.IntN(4) > 0, r.pick([]string{"", "500", "502, 503, 504", "429"}))
	if r.IntN(4) == 0 { // each side on its own, so the cache changes no decision
		fmt.Fprintf(out, "    cache: {ttl: 60, cookies: %t}\n", r.IntN(2) == 0)
	}
	r.rules(out, strategy)
}

func (r random) rules(out *strings.Builder, strategy string) {
	headerRules, ipRules := r.IntN(4), r.IntN(4)
	if strategy == "header" {
		headerRules++
	}
	if strategy == "ip" {
		ipRules++
	}
	fmt.Fprintf(out, "    canary:\n      header_rules:%s\n", r.list(headerRules, func(int) string {
		match := "value: " + fmt.Sprintf("%q", r.pick(values))
		if r.IntN(2) == 0 {
			match = "pattern: '" + r.pick(patterns) + "'"
		}
		return fmt.Sprintf("{header: %q, %s, target: %s}", r.pick(headers), match, r.target())
	}))
	order := r.Perm(len(networks))
	fmt.Fprintf(out, "      ip_rules:%s\n", r.list(ipRules, func(i int) string {
		return fmt.Sprintf("{cidr: %q, target: %s}", networks[order[i]], r.target())
	}))
}

func (r random) target() string { return r.pick([]string{"new_cluster", "old_cluster"}) }

func (r random) list(n int, entry func(int) string) string {
	if n == 0 {
		return " []"
	}
	var out strings.Builder
	for i := range n {
		out.WriteString("\n        - " + entry(i))
	}
	return out.String()
}

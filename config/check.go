package config

import (
	"net/netip"

	"github.com/migration-proxy/migration-proxy/migration"
	"gopkg.in/yaml.v3"
)

// The checks in this file compare several values. They also run if some value
// could not be read, so that all problems are reported at once. Such a value is
// zero, so the checks use the nodes to find out whether a key exists.

func checkDocument(r *report, root *yaml.Node, doc document) {
	checkTrusted(r, root, doc.Global.TrustedProxies)
	checkNotify(r, root, doc)
	nodes := find(root, "services")
	if nodes == nil || nodes.Kind != yaml.SequenceNode {
		return
	}
	at := (*place)(nil).field("services")
	unique := uniqueness{report: r, names: map[migration.Name]int{}, routes: map[route]int{}}
	cohorts := stickyCohorts{}
	for i, s := range doc.Services {
		view := locatedService{service: s, report: r, node: nodes.Content[i], at: at.element(i)}
		unique.check(i, view)
		cohorts.check(i, view)
		for _, check := range serviceChecks {
			check(view)
		}
	}
	checkOrder(r, doc, nodes)
}

// widestTrusted is the shortest prefix length of a trusted network. fc00::/7 is
// all private addresses of IPv6, and 10.0.0.0/8 is the largest private network of
// IPv4. A larger network has public addresses: 0.0.0.0/1 and 128.0.0.0/1 together
// are all of IPv4.
const widestTrusted = 7

func checkTrusted(r *report, root *yaml.Node, networks []netip.Prefix) {
	list := find(root, "global", "trusted_proxies")
	at := (*place)(nil).field("global").field("trusted_proxies")
	seen := map[netip.Prefix]int{}
	for i, network := range networks {
		if !network.IsValid() {
			continue
		}
		if network.Bits() < widestTrusted {
			r.add(list.Content[i], at.element(i), "%s is too large: any client in it can choose its own address with X-Forwarded-For; name the load balancers' networks, /%d at the widest", network, widestTrusted)
		}
		if first, twice := seen[network]; twice {
			r.add(list.Content[i], at.element(i), "%s is already in trusted_proxies[%d]; keep one", network, first)
			continue
		}
		seen[network] = i
	}
}

// locatedService is one service with its place in the text.
type locatedService struct {
	service
	*report
	node *yaml.Node
	at   *place
}

// problem reports a problem at the value of the last of the keys. If a key does
// not exist, it reports at the value of the last key that exists.
func (v locatedService) problem(keys []string, format string, args ...any) {
	node, at := v.node, v.at
	for _, key := range keys {
		at = at.field(key)
		if below := child(node, key); below != nil {
			node = below
		}
	}
	v.add(node, at, format, args...)
}

// item reports a problem at an element of a list under canary.
func (v locatedService) item(list string, i int, format string, args ...any) {
	node := find(v.node, "canary", list).Content[i]
	v.add(node, v.at.field("canary").field(list).element(i), format, args...)
}

type route struct {
	host   oldHost
	prefix migration.PathPrefix
}

// uniqueness remembers the index of the first service with a name and with a
// route.
type uniqueness struct {
	*report
	names  map[migration.Name]int
	routes map[route]int
}

func (u uniqueness) check(i int, v locatedService) {
	if first, twice := u.names[v.Name]; twice {
		v.problem([]string{"name"}, "%q is already the name of services[%d]; choose another", v.Name, first)
	} else if v.Name != "" {
		u.names[v.Name] = i
	}
	route := route{v.OldHost, v.PathPrefix}
	if first, twice := u.routes[route]; twice {
		v.problem([]string{"old_host"}, "%s with path_prefix %s already belongs to services[%d]; give one another path_prefix", v.OldHost, v.PathPrefix, first)
	} else if v.OldHost != "" && v.PathPrefix != "" {
		u.routes[route] = i
	}
}

// stickyCohorts has the first service of each cohort with a sticky cookie.
type stickyCohorts map[migration.Name]member

type member struct {
	index int
	host  oldHost
}

// check refuses a cohort that cannot keep its promise: a browser sends the cookie of
// one host to no other host.
func (c stickyCohorts) check(i int, v locatedService) {
	if v.Migration.HashKey.Source != migration.KeySticky || v.Migration.Cohort == "" {
		return
	}
	first, known := c[v.Migration.Cohort]
	if !known {
		c[v.Migration.Cohort] = member{i, v.OldHost}
	} else if first.host != v.OldHost {
		v.problem([]string{"migration", "cohort"}, "services[%d] of cohort %s has another old_host, and a browser sends the sticky cookie to one host only; use one old_host, or a hash_key that all hosts get", first.index, v.Migration.Cohort)
	}
}

var serviceChecks = []func(locatedService){
	checkHeaderRules, checkIPRules, checkStrategyRules, checkUserHash, checkTLS, checkVerify, checkClientCert, checkStatuses, checkCanaryMode, checkGRPC, checkRamp, checkPlaceholder,
}

func checkHeaderRules(v locatedService) {
	for i := range v.Canary.HeaderRules {
		rule := find(v.node, "canary", "header_rules").Content[i]
		if rule.Kind != yaml.MappingNode {
			continue
		}
		value, pattern := child(rule, "value") != nil, child(rule, "pattern") != nil
		switch {
		case value && pattern:
			v.item("header_rules", i, "has both value and pattern; keep one")
		case !value && !pattern:
			v.item("header_rules", i, "has neither value nor pattern; write one")
		}
	}
}

func checkIPRules(v locatedService) {
	seen := map[netip.Prefix]int{}
	for i, rule := range v.Canary.IPRules {
		if first, twice := seen[rule.CIDR]; twice {
			v.item("ip_rules", i, "%s is already in ip_rules[%d]; keep one", rule.CIDR, first)
		} else if rule.CIDR.IsValid() {
			seen[rule.CIDR] = i
		}
	}
}

func checkStrategyRules(v locatedService) {
	missing := func(list string) bool {
		node := find(v.node, "canary", list)
		return node == nil || node.Kind == yaml.SequenceNode && len(node.Content) == 0
	}
	strategy := []string{"migration", "strategy"}
	if v.Migration.Strategy == migration.StrategyHeader && missing("header_rules") {
		v.problem(strategy, "header sends only the requests of canary.header_rules to new, and there are none; add one, or use strategy weight")
	}
	if v.Migration.Strategy == migration.StrategyIP && missing("ip_rules") {
		v.problem(strategy, "ip sends only the requests of canary.ip_rules to new, and there are none; add one, or use strategy weight")
	}
}

// checkUserHash refuses settings of user_hash that have no effect with another
// strategy. A setting may be there with its default value.
func checkUserHash(v locatedService) {
	if v.Migration.Strategy == migration.StrategyUserHash || v.Migration.Strategy == "" {
		return
	}
	plain := shapes[serviceType].template.Interface().(service).Migration
	if key := v.Migration.HashKey; key != plain.HashKey && key != (migration.HashKey{}) {
		v.problem([]string{"migration", "hash_key"}, "%s does nothing with strategy %s; use strategy user_hash or leave hash_key out", key, v.Migration.Strategy)
	}
	if cohort := v.Migration.Cohort; cohort != "" {
		v.problem([]string{"migration", "cohort"}, "%s does nothing with strategy %s; use strategy user_hash or leave cohort out", cohort, v.Migration.Strategy)
	}
}

func checkTLS(v locatedService) {
	if v.NewBackend.Scheme == migration.HTTP && child(v.node, "tls") != nil {
		v.problem([]string{"tls"}, "does nothing because new_backend is %s; write https:// there or leave tls out", v.NewBackend)
	}
}

// checkVerify refuses a ca_file that has no effect, because its user believes that
// the proxy checks new's certificate.
func checkVerify(v locatedService) {
	verify := find(v.node, "tls", "verify")
	if verify != nil && verify.Value == "false" && written(v.node, "tls", "ca_file") {
		v.problem([]string{"tls", "ca_file"}, "does nothing with verify: false; leave one of them out")
	}
}

func checkClientCert(v locatedService) {
	cert, key := written(v.node, "tls", "client_cert_file"), written(v.node, "tls", "client_key_file")
	if cert && !key {
		v.problem([]string{"tls", "client_cert_file"}, "needs client_key_file; write both or neither")
	}
	if key && !cert {
		v.problem([]string{"tls", "client_key_file"}, "needs client_cert_file; write both or neither")
	}
}

func checkStatuses(v locatedService) {
	list := find(v.node, "fallback", "on_status")
	at := v.at.field("fallback").field("on_status")
	seen := map[status]int{}
	for i, s := range v.Fallback.OnStatus {
		if first, twice := seen[s]; twice {
			v.add(list.Content[i], at.element(i), "%d is already in on_status[%d]; keep one", s, first)
		} else if s != 0 {
			seen[s] = i
		}
	}
}

// checkCanaryMode refuses settings that the canary annotations of ingress
// controllers cannot express: these have a weight and one header, and requests with
// the header go to new.
func checkCanaryMode(v locatedService) {
	if v.Mode != migration.ModeCanary {
		return
	}
	const wayOut = "the controller's canary annotations have no such setting; use mode proxy"
	if s := v.Migration.Strategy; s == migration.StrategyUserHash || s == migration.StrategyIP {
		v.problem([]string{"migration", "strategy"}, "strategy %s does not work in mode canary: %s or strategy weight", s, wayOut)
	}
	for i := range v.Canary.IPRules {
		v.item("ip_rules", i, "ip_rules do not work in mode canary: %s", wayOut)
	}
	for i, rule := range v.Canary.HeaderRules {
		switch {
		case i > 0:
			v.item("header_rules", i, "a second header rule does not work in mode canary: %s", wayOut)
		case rule.Target == migration.Old:
			v.item("header_rules", i, "a header rule to old_cluster does not work in mode canary: %s", wayOut)
		}
	}
}

// checkGRPC refuses settings that gRPC has no use for.
func checkGRPC(v locatedService) {
	if v.Protocol != migration.ProtocolGRPC {
		return
	}
	if v.Mode == migration.ModeCanary {
		v.problem([]string{"mode"}, "canary does not work with protocol grpc: port 8001, which a canary's traffic comes in on, takes HTTP/1.1 only; use mode proxy")
	}
	if v.Gzip {
		v.problem([]string{"gzip"}, "does nothing with protocol grpc, whose messages are compressed by the applications; leave it out")
	}
	if v.Compare != nil && v.Compare.Continuous {
		v.problem([]string{"compare", "continuous"}, "does nothing with protocol grpc, whose calls cannot be asked again; leave it out")
	}
	if v.Cache != nil {
		v.problem([]string{"cache"}, "does nothing with protocol grpc, where no answer may be kept; leave it out")
	}
	if v.HealthCheck != nil && v.HealthCheck.Path != "" && v.HealthCheck.Path != migration.GRPCHealthPath {
		v.problem([]string{"health_check", "path"}, "%s is no health check of gRPC; write %s, or leave path out to check only that a connection succeeds", v.HealthCheck.Path, migration.GRPCHealthPath)
	}
}

package nginxgen

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/migration-proxy/migration-proxy/migration"
)

// deepest is how many maps may ask one another: nginx gives up at 100.
const deepest = 50

// token gives the expression that a service's requests are looked up by, as
// the last of steps that have to be set one after another. It is built from
// the last to the first who may speak: strategy, IP rules, header rules, the
// always-new listener. Services with equal rules share the maps. More steps
// than one come from many header rules: a map that was set is known, and asks
// no further.
func (d *draft) token(s *migration.Service) []string {
	var steps []string
	expression := d.strategyToken(s)
	if len(s.IPRules) > 0 {
		expression = d.ipToken(s.IPRules, expression)
	}
	for i, depth := len(s.HeaderRules), 1; i > 0; depth++ {
		first := i - 1
		for first > 0 && s.HeaderRules[first-1].Header.Key() == s.HeaderRules[i-1].Header.Key() {
			first--
		}
		expression = d.headerToken(s.HeaderRules[first:i], first, expression)
		i = first
		if depth%deepest == 0 {
			steps = append(steps, expression)
		}
	}
	usual, port := strconv.Itoa(int(d.params.Listen.Port())), strconv.Itoa(int(d.params.ListenNew.Port()))
	direct := d.ruleToken(migration.New, string(migration.ReasonDirect))
	onlyOld := d.ruleToken(migration.Old, string(migration.ReasonStrategy))
	return append(steps, d.share("token", "map", "$mp_target$server_port", directives{
		line(port, direct),
		line("absolute"+port, direct),
		// Only old gets these as they were sent, see clientFacts.
		line("absolute?"+usual, onlyOld),
		line("absolute?"+port, onlyOld),
		line("default", expression),
	}))
}

func (d *draft) strategyToken(s *migration.Service) string {
	digits := ""
	switch s.Strategy {
	case migration.StrategyWeight:
		digits = "dice"
	case migration.StrategyUserHash:
		digits = d.userKeys[s.HashKey]
	default:
		return d.ruleToken(migration.Old, string(migration.ReasonStrategy))
	}
	return "bucket/$mp_" + digits + "_high/$mp_" + digits + "_low"
}

// ipToken asks geo, which finds the most specific network by itself.
func (d *draft) ipToken(rules []migration.IPRule, otherwise string) string {
	body := directives{line("default", "")}
	order := make([]int, len(rules))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(rules[a].Network.String(), rules[b].Network.String()) })
	for _, i := range order {
		reason := migration.Reason{Code: migration.ReasonIPRule, Rule: i}
		token := d.ruleToken(rules[i].Target, reason.String())
		for _, network := range geoNetworks(rules[i].Network, rules) {
			body = append(body, line(network.String(), token))
		}
	}
	found := d.share("network", "geo", "$remote_addr", body)
	return d.share("rule", "map", found, directives{line("", otherwise), line("default", found)})
}

// geoNetworks halves a network of all addresses: to geo it would be a second
// default. A half that has a rule of its own is left to that.
func geoNetworks(network netip.Prefix, rules []migration.IPRule) []netip.Prefix {
	if network.Bits() > 0 {
		return []netip.Prefix{network}
	}
	upper := netip.AddrFrom4([4]byte{128})
	if network.Addr().Is6() {
		upper = netip.AddrFrom16([16]byte{128})
	}
	halves := []netip.Prefix{netip.PrefixFrom(network.Addr(), 1), netip.PrefixFrom(upper, 1)}
	return slices.DeleteFunc(halves, func(half netip.Prefix) bool {
		return slices.ContainsFunc(rules, func(r migration.IPRule) bool { return r.Network == half })
	})
}

// matchLimit bounds what a client's header may cost: a pattern like (a*)*b
// backtracks without end. PCRE's own limit is a hundred times this, a quarter
// of a second of the worker. Beyond it the map gives its default, so no later
// rule on this header is asked either: explain cannot tell.
const matchLimit = "(*LIMIT_MATCH=100000)"

// tooLong matches what no pattern looks at, see migration.LongestMatched.
var tooLong = fmt.Sprintf(`~\A[\x00-\xff]{%d}`, migration.LongestMatched+1)

// headerToken is one map for consecutive rules on one header; nginx tries the
// expressions in the order written. The first lines keep absent and overlong
// headers from all of them; a plain value is shorter.
func (d *draft) headerToken(rules []migration.HeaderRule, first int, otherwise string) string {
	body := directives{line("", otherwise)}
	if slices.ContainsFunc(rules, func(r migration.HeaderRule) bool { return r.Pattern != nil }) {
		body = append(body, line(tooLong, otherwise))
	}
	for i, rule := range rules {
		expression := migration.ExactPCRE(rule.Value)
		if rule.Pattern != nil {
			expression = matchLimit + rule.Pattern.PCRE()
		}
		reason := migration.Reason{Code: migration.ReasonHeaderRule, Rule: first + i}
		body = append(body, line("~"+expression, d.ruleToken(rule.Target, reason.String())))
	}
	source := "$http_" + rules[0].Header.Key()
	return d.share("rule", "map", source, append(body, line("default", otherwise)))
}

func (d *draft) ruleToken(target migration.Side, name string) string {
	if target == migration.New {
		d.rules[name] = true
	}
	return string(target) + "/" + name
}

// share writes a map or geo once for all services that need the same, and
// gives its variable.
func (d *draft) share(kind, directive, source string, body directives) string {
	var content strings.Builder
	fmt.Fprintf(&content, "%s %s %s", kind, directive, source)
	for _, entry := range body {
		fmt.Fprintf(&content, "\n%q %q", entry.Directive, entry.Args)
	}
	if variable, ok := d.shared[content.String()]; ok {
		return variable
	}
	variable := fmt.Sprintf("$mp_%s_%d", kind, len(d.maps))
	d.shared[content.String()] = variable
	d.maps = append(d.maps, block(directive, []string{source, variable}, body))
	return variable
}

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

// maxMapDepth limits how many maps refer to one another: nginx fails at 100.
const maxMapDepth = 50

// token gives the values that a location assigns to $mp_token, one after another;
// the last is the token of the request. The expression is built from the last to
// the first in precedence: strategy, IP rules, header rules, the always-new
// listener. Services with equal rules share the maps. There is more than one
// value only with many header rules: nginx keeps the value of a map that it
// evaluated, so a later map refers to it without going deeper.
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
		if depth%maxMapDepth == 0 {
			steps = append(steps, expression)
		}
	}
	return append(steps, d.intern("token", "map", "$mp_pathless$server_port", append(d.portTokens(s), line("default", expression))))
}

// portTokens gives the tokens that the port alone decides, with $mp_pathless before it:
// only old gets such targets unchanged, see clientMaps.
func (d *draft) portTokens(s *migration.Service) directives {
	var lines directives
	onlyOld := d.ruleToken(migration.Old, string(migration.ReasonStrategy))
	if at := d.params.ListenNew; at.IsValid() {
		lines = append(lines, line(strconv.Itoa(int(at.Port())), d.ruleToken(migration.New, string(migration.ReasonDirect))))
	}
	for _, at := range []netip.AddrPort{d.params.Listen, d.params.ListenNew} {
		if at.IsValid() {
			lines = append(lines, line("?"+strconv.Itoa(int(at.Port())), onlyOld))
		}
	}
	if d.compared(s) { // a unix socket has no port
		lines = append(lines, line("", "$mp_compared"), line("?", onlyOld))
	}
	return lines
}

// strategyToken gives the token of a request that no rule matches.
func (d *draft) strategyToken(s *migration.Service) string {
	digits := ""
	switch {
	case s.WholeDice():
		return "bucket/$mp_dice_high/0"
	case s.Strategy == migration.StrategyWeight:
		digits = "dice"
	case s.Sticky():
		return "bucket/$mp_" + d.userKeys[s.HashKey]
	case s.Strategy == migration.StrategyUserHash:
		digits = d.userKeys[s.HashKey]
	default:
		return d.ruleToken(migration.Old, string(migration.ReasonStrategy))
	}
	return "bucket/$mp_" + digits + "_high/$mp_" + digits + "_low"
}

// ipToken makes a geo block, as geo finds the most specific network itself.
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
	network := d.intern("network", "geo", "$remote_addr", body)
	return d.intern("rule", "map", network, directives{line("", otherwise), line("default", network)})
}

// geoNetworks splits a network of all addresses in two halves: geo would read the
// whole as a second default. A half with a rule of its own is left out.
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

// matchLimit limits the CPU time that a client's header may cost: a pattern like
// (a*)*b backtracks without end. The default limit of PCRE is a hundred times
// this, a quarter of a second of the worker. Beyond the limit the map gives its
// default, so nginx tests no later rule on this header either; the command
// explain does not know this case.
const matchLimit = "(*LIMIT_MATCH=100000)"

// tooLong matches values that are too long for patterns, see
// migration.LongestMatched.
var tooLong = fmt.Sprintf(`~\A[\x00-\xff]{%d}`, migration.LongestMatched+1)

// headerToken makes one map for consecutive rules on one header. nginx tests the
// expressions in the order of the text. The first lines handle absent and too
// long headers before any expression; an exact value is never too long.
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
	return d.intern("rule", "map", source, append(body, line("default", otherwise)))
}

// ruleToken gives the token of a rule and records the names of rules for new.
func (d *draft) ruleToken(target migration.Side, name string) string {
	if target == migration.New {
		d.rules[name] = true
	}
	return string(target) + "/" + name
}

// intern writes a map or geo once for all services that need the same, and
// gives its variable.
func (d *draft) intern(kind, directive, source string, body directives) string {
	var content strings.Builder
	fmt.Fprintf(&content, "%s %s %s", kind, directive, source)
	for _, entry := range body {
		fmt.Fprintf(&content, "\n%q %q", entry.Directive, entry.Args)
	}
	if variable, ok := d.interned[content.String()]; ok {
		return variable
	}
	variable := fmt.Sprintf("$mp_%s_%d", kind, len(d.maps))
	d.interned[content.String()] = variable
	d.maps = append(d.maps, block(directive, []string{source, variable}, body))
	return variable
}

package nginxgen

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/migration-proxy/migration-proxy/migration"
)

// routing is what every service's token is made of: the kind of request, and
// the dice.
func (d *draft) routing() directives {
	lines := directives{
		// Methods that may be sent twice. What is not listed may have been
		// acted upon by new, so old must not see it again.
		mapping("$request_method", "$mp_class",
			"GET", "safe", "HEAD", "safe", "OPTIONS", "safe", "PUT", "safe", "DELETE", "safe",
			"PROPFIND", "safe", "REPORT", "safe", "SEARCH", "safe", "default", "once"),
		mapping("$mp_class", "$mp_otherwise", "safe", "@old", "default", "@once"),
		// A request that may go only once: no connect time on any try means
		// that new never saw it.
		mapping("$upstream_connect_time;$upstream_status", "$mp_after_once",
			`~\A[-, ]*;`, "@old", `~504\z`, "@timeout", "default", "@failed"),
	}
	if d.table.Global().DebugHeaders {
		lines = append(lines, debugHeaders()...)
	}
	return append(lines, d.keys()...)
}

// keys is one pair of split_clients for the dice and for each kind of user
// key. The services' salt is a variable, so the number does not grow with the
// number of services.
func (d *draft) keys() directives {
	lines := buckets("dice", "$request_id")
	for _, key := range slices.SortedFunc(maps.Keys(d.userKeys), compareKeys) {
		name := d.userKeys[key]
		lines = append(lines, userKey("$mp_"+name, key))
		lines = append(lines, buckets(name, "$mp_salt:$mp_"+name)...)
	}
	return lines
}

// userKeys names the kinds of user key that the services hash by.
func userKeys(table *migration.Table) map[migration.HashKey]string {
	names := map[migration.HashKey]string{}
	for _, s := range table.Services() {
		if s.Strategy == migration.StrategyUserHash {
			names[s.HashKey] = ""
		}
	}
	for i, key := range slices.SortedFunc(maps.Keys(names), compareKeys) {
		names[key] = fmt.Sprintf("user_%d", i)
	}
	return names
}

func compareKeys(a, b migration.HashKey) int { return strings.Compare(a.String(), b.String()) }

// userKey reads a user's key; without one the client's address stands in,
// because an empty key would be bucket 0, and so on new, for everybody.
func userKey(variable string, key migration.HashKey) *directive {
	const address = "$binary_remote_addr"
	switch key.Source {
	case migration.KeyHeader:
		source := "$http_" + migration.HeaderName(key.Name).Key()
		return mapping(source, variable, "", address, "default", source)
	case migration.KeyCookie:
		// Not $cookie_NAME: that ends at the first '-' of the name.
		capture := strings.TrimPrefix(variable, "$") + "_value"
		expression := `~(?:\A|;\s*)` + migration.LiteralPCRE(key.Name) + `=(?<` + capture + `>[^;]+)`
		return mapping("$http_cookie", variable, expression, "$"+capture, "default", address)
	}
	return mapping("$remote_addr", variable, "default", address)
}

// buckets are the two base-100 digits of migration.BucketOf(source).
func buckets(name, source string) directives {
	return directives{
		hundred("$mp_"+name+"_high", source),
		hundred("$mp_"+name+"_low", migration.LowKey(source)),
	}
}

func hundred(variable, source string) *directive {
	body := directives{}
	for i := range 99 {
		body = append(body, line("1%", strconv.Itoa(i)))
	}
	return block("split_clients", []string{source, variable}, append(body, line("*", "99")))
}

func sortedKeys[V any](set map[string]V) []string { return slices.Sorted(maps.Keys(set)) }

package nginxgen

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/migration-proxy/migration-proxy/migration"
)

// routing gives the maps that all tokens use: the class of the method, and the
// bucket of the request.
func (d *draft) routing() directives {
	lines := directives{
		methodClasses(),
		mapping("$mp_class", "$mp_otherwise", "safe", d.toOld(), "stream", "@stream", "single", "@single", "default", "@once"),
		// For a request that may be sent only once: without a connect time of
		// any try, new never received it.
		mapping("$upstream_connect_time;$upstream_status", "$mp_after_once",
			`~\A[-, ]*;`, "@old", `~504\z`, "@timeout", "default", "@failed"),
	}
	lines = append(lines, d.streams()...)
	if d.table.Global().DebugHeaders {
		lines = append(lines, d.debugHeaders()...)
	}
	return append(lines, d.bucketMaps()...)
}

// methodClasses maps a request to the class that says how it may be sent:
//
//	safe    new may get it again, and old after new
//	stream  the same, and the answer may be silent for long
//	once    new may have processed it, so it must not be sent to old again; nginx
//	        itself sends it once, also where new has several addresses
//	single  the same, but nginx would send it to the next address
//
// A method has no small letters, so "GETstream" is a GET for a stream.
func methodClasses() *directive {
	var pairs []string
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PROPFIND", "REPORT", "SEARCH"} {
		pairs = append(pairs, method, "safe", method+"stream", "stream", method+"upgrade", "stream", method+"streamupgrade", "stream")
	}
	for _, method := range []string{"POST", "PATCH", "LOCK"} {
		pairs = append(pairs, method, "once", method+"stream", "once", method+"upgrade", "once", method+"streamupgrade", "once")
	}
	return mapping("$request_method$mp_stream$mp_connection", "$mp_class", append(pairs, "default", "single")...)
}

// streams gives the maps that find the requests for a stream, see streamLocation. A
// browser's EventSource and the libraries for event streams send exactly the first of
// these Accept headers. nginx finds them by hash; an expression would cost each request
// more. "upgrade" at the end of a class stands for a request to upgrade.
func (d *draft) streams() directives {
	lines := directives{mapping("$http_accept", "$mp_stream",
		"text/event-stream", "stream", "text/event-stream, */*", "stream", "text/event-stream,*/*", "stream", "default", "")}
	if !d.any(func(s *migration.Service) bool { return !s.Fallback.Enabled }) {
		return lines
	}
	return append(lines,
		mapping("$mp_stream$mp_connection", "$mp_otherwise_any", "", d.toOld(), "default", "@stream"))
}

// bucketMaps gives a pair of split_clients for the dice, and one for each kind of
// user key. The salt of a service is a variable, so the number of pairs does not
// grow with the number of services.
func (d *draft) bucketMaps() directives {
	lines := buckets("dice", d.diceText())
	if d.any((*migration.Service).Sticky) {
		lines = append(lines, stickyValues()...)
	}
	for _, key := range slices.SortedFunc(maps.Keys(d.userKeys), compareKeys) {
		name := d.userKeys[key]
		if key.Source == migration.KeySticky {
			lines = append(lines, stickyMaps("$mp_"+name, key.Name)...)
			continue
		}
		lines = append(lines, userKey("$mp_"+name, key))
		lines = append(lines, buckets(name, "$mp_salt:$mp_"+name)...)
	}
	return lines
}

// diceText is different for each request, and no client can choose it, see ADR 35. Where
// clients are reached directly, their requests have no ID and so get a random one in any
// case; where something in front gives the ID, numbers that nginx has are cheaper.
func (d *draft) diceText() string {
	if d.params.BehindControllers || d.trustsProxies() {
		return "$hostname:$connection:$connection_requests"
	}
	return "$request_id"
}

// userKeys gives a variable name to each kind of user key that services hash by.
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

// userKey makes the map that reads a user's key. A request without a key uses the
// client's address: all empty keys would share one bucket.
func userKey(variable string, key migration.HashKey) *directive {
	const address = "$binary_remote_addr"
	switch key.Source {
	case migration.KeyHeader:
		source := "$http_" + migration.HeaderName(key.Name).Key()
		return mapping(source, variable, "", address, "default", source)
	case migration.KeyCookie:
		// $cookie_NAME does not work: nginx ends the name at the first '-'.
		capture := strings.TrimPrefix(variable, "$") + "_value"
		expression := `~(?:\A|;\s*)` + migration.LiteralPCRE(key.Name) + `=(?<` + capture + `>[^;]+)`
		return mapping("$http_cookie", variable, expression, "$"+capture, "default", address)
	}
	return mapping("$remote_addr", variable, "default", address)
}

// buckets gives the two base-100 digits of migration.BucketOf(source).
func buckets(name, source string) directives {
	return directives{
		digitSplit("$mp_"+name+"_high", source),
		digitSplit("$mp_"+name+"_low", migration.LowKey(source)),
	}
}

// digitSplit maps the hash of a source to a number from 0 to 99.
func digitSplit(variable, source string) *directive {
	body := directives{}
	for i := range 99 {
		body = append(body, line("1%", strconv.Itoa(i)))
	}
	return block("split_clients", []string{source, variable}, append(body, line("*", "99")))
}

func sortedKeys[V any](set map[string]V) []string { return slices.Sorted(maps.Keys(set)) }

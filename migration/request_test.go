package migration_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestKeep(t *testing.T) {
	t.Parallel()
	header := http.Header{"X-A1": {"1"}, "X_a": {"2"}, "X.a": {"3"}, "X\u00e9": {"4"}, "[": {"5"}, "@": {"6"}, "`": {"7"}}
	require.Equal(t, header, migration.Global{}.Keep(header))
	require.Equal(t, http.Header{"X-A1": {"1"}}, migration.Global{DropInvalidHeaders: true}.Keep(header))
}

func TestFoldHeaders(t *testing.T) {
	t.Parallel()
	header := http.Header{"X-A": {"1", "2"}, "X-B": {"3"}, "Cookie": {"a=1", "b=2"}, "X-None": {}}
	require.Equal(t, map[string]string{"x_a": "1, 2", "x_b": "3", "cookie": "a=1; b=2", "x_none": ""}, migration.FoldHeaders(header, true))
	require.Equal(t, map[string]string{"x_a": "1", "x_b": "3", "cookie": "a=1; b=2"}, migration.FoldHeaders(header, false))
	forwarded := http.Header{"X-Forwarded-For": {"1", "2"}}
	for _, joins := range []bool{true, false} {
		require.Equal(t, map[string]string{"x_forwarded_for": "1, 2"}, migration.FoldHeaders(forwarded, joins))
	}
	exact := http.Header{"User_agent": {"1"}, "X_forwarded_for": {"2"}, "X-Forwarded_for": {"3"}, "User-Agent": {"4"}}
	require.Equal(t, map[string]string{"user_agent": "4"}, migration.FoldHeaders(exact, true))
	for range 20 {
		alike := http.Header{"X-A": {"1"}, "X_A": {"2"}}
		require.Equal(t, map[string]string{"x_a": "1, 2"}, migration.FoldHeaders(alike, true))
		require.Equal(t, map[string]string{"x_a": "1"}, migration.FoldHeaders(alike, false))
	}
}

func TestRepeatedHeaderAndRules(t *testing.T) {
	t.Parallel()
	service := migration.Service{
		Enabled: true, Strategy: migration.StrategyHeader,
		HeaderRules: []migration.HeaderRule{{Header: "X-Target", Value: "new", Target: migration.New}},
	}
	header := http.Header{"X-Target": {"new", "old"}}
	side := func(joins bool) migration.Side {
		return service.Decide(migration.Request{Header: migration.FoldHeaders(header, joins)}).Side
	}
	require.Equal(t, migration.New, side(false), "nginx before 1.23 uses the first value")
	require.Equal(t, migration.Old, side(true), "nginx 1.23 joins the values")
}

// TestClientAddress expects the $remote_addr of nginx 1.22.1.
func TestClientAddress(t *testing.T) {
	t.Parallel()
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}
	for name, c := range map[string]struct{ peer, forwarded, want string }{
		"nothing forwarded":       {"10.0.0.1", "", "10.0.0.1"},
		"peer not trusted":        {"192.0.2.1", "198.51.100.7", "192.0.2.1"},
		"one hop":                 {"10.0.0.1", "198.51.100.7", "198.51.100.7"},
		"right-most untrusted":    {"10.0.0.1", "1.1.1.1, 198.51.100.7, 10.0.0.2", "198.51.100.7"},
		"all trusted":             {"10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"},
		"stops at no address":     {"10.0.0.1", "1.1.1.1, unknown, 10.0.0.2", "10.0.0.2"},
		"only rubbish":            {"10.0.0.1", "unknown", "10.0.0.1"},
		"port":                    {"10.0.0.1", "198.51.100.7:1234", "198.51.100.7"},
		"port 0":                  {"10.0.0.1", "198.51.100.7:0", "10.0.0.1"},
		"port above":              {"10.0.0.1", "198.51.100.7:65536", "10.0.0.1"},
		"space separates":         {"10.0.0.1", "198.51.100.7 10.0.0.2", "198.51.100.7"},
		"empty entries":           {"10.0.0.1", "198.51.100.7, ,,10.0.0.2 ,", "198.51.100.7"},
		"comma in front":          {"10.0.0.1", ",198.51.100.7", "10.0.0.1"},
		"tab belongs to the text": {"10.0.0.1", "198.51.100.7\t", "10.0.0.1"},
		"leading zeros":           {"10.0.0.1", "198.051.100.07", "198.51.100.7"},
		"brackets without port":   {"2001:db8::1", "[2001:db9::7]", "2001:db8::1"},
		"bracket not closed":      {"2001:db8::1", "[2001:db9::7", "2001:db8::1"},
		"IPv4 in brackets":        {"10.0.0.1", "[198.51.100.7]:80", "198.51.100.7"},
		"zone":                    {"10.0.0.1", "fe80::1%eth0", "10.0.0.1"},
		"IPv6":                    {"2001:db8::1", "2001:db9::7", "2001:db9::7"},
		"IPv6 in brackets":        {"2001:db8::1", "[2001:db9::7]:80", "2001:db9::7"},
		"mapped peer":             {"::ffff:10.0.0.1", "198.51.100.7", "198.51.100.7"},
		"spaces":                  {"10.0.0.1", "  198.51.100.7  ", "198.51.100.7"},
		"forged by the left-most": {"10.0.0.1", "10.9.9.9, 198.51.100.7", "198.51.100.7"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := migration.ClientAddress(netip.MustParseAddr(c.peer), c.forwarded, trusted)
			require.Equal(t, netip.MustParseAddr(c.want), got)
		})
	}
}

// TestClientCannotChooseItsAddress: the X-Forwarded-For of a client has no effect,
// because trusted proxies append the client's real address.
func TestClientCannotChooseItsAddress(t *testing.T) {
	t.Parallel()
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	rapid.Check(t, func(t *rapid.T) {
		forged := rapid.StringMatching(`((10|192|1)\.0\.0\.[0-9]|x|,| ){0,6}`).Draw(t, "forged")
		hops := rapid.SliceOfN(rapid.SampledFrom([]string{"10.0.0.1", "10.0.0.2"}), 0, 3).Draw(t, "hops")
		header := strings.Join(append([]string{forged, "198.51.100.7"}, hops...), ", ")
		got := migration.ClientAddress(netip.MustParseAddr("10.0.0.9"), header, trusted)
		require.Equal(t, netip.MustParseAddr("198.51.100.7"), got)
	})
}

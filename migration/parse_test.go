package migration_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// parseCase is a text with the expected result, or with a part of the error.
type parseCase struct{ text, want, refused string }

func runParseCases[T any](t *testing.T, cases []parseCase, parse func(string) (T, error), show func(T) string) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.text, func(t *testing.T) {
			t.Parallel()
			got, err := parse(c.text)
			if c.refused != "" {
				require.ErrorContains(t, err, c.refused)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, show(got))
		})
	}
}

func TestParseBackend(t *testing.T) {
	t.Parallel()
	runParseCases(t, []parseCase{
		{text: "api.team.svc:8080", want: "http://api.team.svc:8080"},
		{text: "API.example.com:443", want: "https://api.example.com:443"},
		{text: "http://api.example.com:443", want: "http://api.example.com:443"},
		{text: "https://api.example.com:8443", want: "https://api.example.com:8443"},
		{text: "https://api.example.com", want: "https://api.example.com:443"},
		{text: "http://api.example.com", want: "http://api.example.com:80"},
		{text: "10.0.0.1:80", want: "http://10.0.0.1:80"},
		{text: "[2001:db8::1]:443", want: "https://[2001:db8::1]:443"},
		{text: "https://[2001:DB8::1]", want: "https://[2001:db8::1]:443"},
		{text: "[::ffff:10.0.0.1]:80", want: "http://10.0.0.1:80"},
		{text: "", refused: "write host:port"},
		{text: "api.example.com", refused: "write host:port"},
		{text: "api.example.com:", refused: "port"},
		{text: "api.example.com:0", refused: "1 to 65535"},
		{text: "api.example.com:65536", refused: "1 to 65535"},
		{text: "api.example.com:+80", refused: "1 to 65535"},
		{text: "api.example.com:http", refused: "1 to 65535"},
		{text: "2001:db8::1:80", refused: "[brackets]"},
		{text: "ftp://api.example.com", refused: "scheme must be http or https"},
		{text: "HTTP://api.example.com", refused: "scheme must be http or https"},
		{text: "https://api.example.com/path", refused: "is not a"},
		{text: "https://user@api.example.com", refused: "not a host name"},
		{text: "0.0.0.0:80", refused: "cannot be connected to"},
		{text: "[::]:80", refused: "cannot be connected to"},
		{text: "[fe80::1%eth0]:80", refused: "cannot be connected to"},
		{text: "*.example.com:80", refused: "not a host name"},
		{text: "a b:80", refused: "not a host name"},
		{text: "a$b:80", refused: "not a host name"},
		{text: ":80", refused: "not a host name"},
	}, migration.ParseBackend, migration.Backend.String)
}

func TestParseOldHost(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 63)
	runParseCases(t, []parseCase{
		{text: "api.example.com", want: "api.example.com"},
		{text: "API.Example.COM", want: "api.example.com"},
		{text: "*.example.com", want: "*.example.com"},
		{text: "localhost", want: "localhost"},
		{text: "_dmarc.example.com", want: "_dmarc.example.com"},
		{text: long + ".com", want: long + ".com"},
		{text: "a" + long + ".com", refused: "63 characters"},
		{text: strings.Repeat("abcdefg.", 32), refused: "final dot"},
		{text: strings.Repeat("abcdefg.", 32) + "com", refused: "longer than 253"},
		{text: "", refused: "not a host name"},
		{text: "api.example.com.", refused: "final dot"},
		{text: "https://api.example.com", refused: "scheme"},
		{text: "api.example.com:80", refused: "port"},
		{text: "*", refused: "not a host name"},
		{text: "*.", refused: "not a host name"},
		{text: "*.*.example.com", refused: "not a host name"},
		{text: "api.*.com", refused: "not a host name"},
		{text: "a..b", refused: "not a host name"},
		{text: "-a.com", refused: "not a host name"},
		{text: "a-.com", refused: "not a host name"},
		{text: "bücher.example", refused: "not a host name"},
		{text: "a;b.com", refused: "not a host name"},
		{text: "a\nb.com", refused: "not a host name"},
		{text: "~^a.com", refused: "not a host name"},
	}, migration.ParseOldHost, func(h migration.Host) string { return string(h) })
}

func TestNormalizeHost(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		"API.example.com.:8000": "api.example.com",
		"api.example.com":       "api.example.com",
		"[2001:DB8::1]:80":      "[2001:db8::1]",
		"":                      "",
		"a:b:c":                 "a",
	} {
		require.Equal(t, want, migration.NormalizeHost(header), header)
	}
}

func TestParsePathPrefix(t *testing.T) {
	t.Parallel()
	runParseCases(t, []parseCase{
		{text: "/", want: "/"},
		{text: "/api", want: "/api"},
		{text: "/api/", want: "/api"},
		{text: "/a.b/..c/", want: "/a.b/..c"},
		{text: "", refused: "begin with /"},
		{text: "api", refused: "begin with /"},
		{text: "//", refused: "merged"},
		{text: "/a//b", refused: "merged"},
		{text: "/a/./b", refused: "resolved"},
		{text: "/a/..", refused: "resolved"},
		{text: "/a%20b", refused: "decoded"},
		{text: "/a b", refused: "letters"},
		{text: "/a$b", refused: "letters"},
		{text: "/a;b", refused: "letters"},
		{text: "/{id}", refused: "letters"},
		{text: "/" + strings.Repeat("a", 254), refused: "254"},
	}, migration.ParsePathPrefix, func(p migration.PathPrefix) string { return string(p) })
}

func TestPathPrefixMatchesElementByElement(t *testing.T) {
	t.Parallel()
	require.True(t, migration.PathPrefix("/").Matches("/x"))
	require.True(t, migration.PathPrefix("/api").Matches("/api"))
	require.True(t, migration.PathPrefix("/api").Matches("/api/x"))
	require.False(t, migration.PathPrefix("/api").Matches("/apix"))
	require.False(t, migration.PathPrefix("/api").Matches("/ap"))
}

func TestNormalizePath(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		target, want string
		bad          bool
	}{
		{target: "/", want: "/"},
		{target: "/a//b/%2e%2e/c?q", want: "/a/c"},
		{target: "/a/./b", want: "/a/b"},
		{target: "/a/b/..", want: "/a/"},
		{target: "/a/.", want: "/a/"},
		{target: "/a/", want: "/a/"},
		{target: "/a#b", want: "/a"},
		{target: "/a?b#c", want: "/a"},
		{target: "/%41%2f%62", want: "/A/b"},
		{target: "/%2541", want: "/%41"},
		{target: "/%3Fx", want: "/?x"},
		{target: "/...", want: "/..."},
		{target: "/a/../..", bad: true},
		{target: "/..", bad: true},
		{target: "/%2e%2e/", bad: true},
		{target: "/%", bad: true},
		{target: "/%4", bad: true},
		{target: "/%zz", bad: true},
		{target: "/%00", bad: true},
		{target: "a", bad: true},
		{target: "", bad: true},
	} {
		t.Run(c.target, func(t *testing.T) {
			t.Parallel()
			got, ok := migration.NormalizePath(c.target)
			require.Equal(t, !c.bad, ok)
			require.Equal(t, c.want, got)
		})
	}
}

func TestParseName(t *testing.T) {
	t.Parallel()
	runParseCases(t, []parseCase{
		{text: "api", want: "api"}, {text: "api-name01", want: "api-name01"}, {text: "a.b_c", want: "a.b_c"}, {text: "1", want: "1"},
		{text: strings.Repeat("a", 63), want: strings.Repeat("a", 63)},
		{text: strings.Repeat("a", 64), refused: "63"},
		{text: "", refused: "not a name"}, {text: "API", refused: "not a name"}, {text: "..", refused: "not a name"},
		{text: "a/b", refused: "not a name"}, {text: "-a", refused: "not a name"}, {text: "a\n", refused: "not a name"},
	}, migration.ParseName, func(n migration.Name) string { return string(n) })
}

func TestParseShare(t *testing.T) {
	t.Parallel()
	runParseCases(t, []parseCase{
		{text: "0", want: "0"}, {text: "100", want: "100"}, {text: "20", want: "20"}, {text: "0.5", want: "0.5"},
		{text: "0.50", want: "0.5"}, {text: "99.99", want: "99.99"}, {text: "0.01", want: "0.01"}, {text: "20.00", want: "20"},
		{text: "100.01", refused: "out of range"}, {text: "101", refused: "out of range"},
		{text: "99999999999999999999", refused: "out of range"},
		{text: "", refused: "not a percentage"}, {text: "-1", refused: "not a percentage"}, {text: "+1", refused: "not a percentage"},
		{text: "1.", refused: "not a percentage"}, {text: ".5", refused: "not a percentage"}, {text: "0.001", refused: "not a percentage"},
		{text: "1e1", refused: "not a percentage"}, {text: "20%", refused: "not a percentage"}, {text: "NaN", refused: "not a percentage"},
	}, migration.ParseShare, migration.Share.String)
}

func TestShareStringIsReadBack(t *testing.T) {
	t.Parallel()
	for share := range migration.FullShare + 1 {
		got, err := migration.ParseShare(share.String())
		require.NoError(t, err)
		require.Equal(t, share, got)
	}
}

func TestParseNetwork(t *testing.T) {
	t.Parallel()
	runParseCases(t, []parseCase{
		{text: "10.0.0.0/8", want: "10.0.0.0/8"}, {text: "10.0.0.1", want: "10.0.0.1/32"}, {text: "0.0.0.0/0", want: "0.0.0.0/0"},
		{text: "2001:db8::/32", want: "2001:db8::/32"}, {text: "::1", want: "::1/128"}, {text: "::ffff:10.0.0.1", want: "10.0.0.1/32"},
		{text: "10.0.0.1/8", refused: "did you mean 10.0.0.0/8"}, {text: "10.0.0.0/33", refused: "not a network"},
		{text: "::ffff:10.0.0.0/104", refused: "IPv4 network itself"}, {text: "fe80::1%eth0", refused: "not a network"},
		{text: "10.0.0", refused: "not a network"}, {text: "", refused: "not a network"}, {text: "010.0.0.1", refused: "not a network"},
	}, migration.ParseNetwork, netip.Prefix.String)
}

func TestParseHashKey(t *testing.T) {
	t.Parallel()
	runParseCases(t, []parseCase{
		{text: "ip", want: "ip"}, {text: "header:X-User-ID", want: "header:X-User-ID"}, {text: "cookie:user-id", want: "cookie:user-id"},
		{text: "header:", refused: "not a header name"}, {text: "cookie:", refused: "not a cookie name"}, {text: "cookie:a=b", refused: "'='"},
		{text: "cookie:a$b", refused: "'$'"}, {text: "ip:x", refused: "not a hash key"},
		{text: "sticky", want: "sticky"}, {text: "sticky:migration-proxy", want: "sticky"}, {text: "sticky:__Host-a.b", want: "sticky:__Host-a.b"},
		{text: "sticky:", refused: "not a cookie name"}, {text: "sticky:#a", refused: "not a name for the sticky cookie"}, {text: "Sticky", refused: "not a hash key"}, {text: "X-User", refused: "not a hash key"},
	}, migration.ParseHashKey, migration.HashKey.String)
}

func TestBackendStringIsReadBack(t *testing.T) {
	t.Parallel()
	text := rapid.StringMatching(`(https?://)?([a-z][a-z0-9-]{0,5}[a-z]|10\.0\.0\.[0-9]|\[::[1-9]\]):[1-9][0-9]{0,3}`)
	rapid.Check(t, func(t *rapid.T) {
		backend, err := migration.ParseBackend(text.Draw(t, "text"))
		require.NoError(t, err)
		again, err := migration.ParseBackend(backend.String())
		require.NoError(t, err)
		require.Equal(t, backend, again)
	})
}

// FuzzNormalizePath: a normalized path is absolute, has no empty or dot
// segment, and, encoded, normalizes to itself.
func FuzzNormalizePath(f *testing.F) {
	for _, seed := range []string{"/", "/a//b/%2e%2e/c?q", "/%2541", "/a/../..", "/%", "*", "/a/%2F/.%2e"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, target string) {
		path, ok := migration.NormalizePath(target)
		if !ok {
			require.Empty(t, path)
			return
		}
		require.True(t, strings.HasPrefix(path, "/"))
		require.NotContains(t, path, "//")
		for segment := range strings.SplitSeq(path, "/") {
			require.NotContains(t, []string{".", ".."}, segment)
		}
		again, ok := migration.NormalizePath(strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path))
		require.True(t, ok)
		require.Equal(t, path, again)
	})
}

package behavior

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/migration"
)

// TestNginxAcceptsWhatConfigAccepts: services with unusual texts, of which all
// that config accepts go through one nginx -t.
func TestNginxAcceptsWhatConfigAccepts(t *testing.T) {
	t.Parallel()
	params, drawn, accepted := newParams(t), 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		var services []migration.Service
		for n := range rapid.IntRange(1, 20).Draw(rt, "services") {
			table, err := config.Load("drawn.yaml", []byte("services:\n"+drawService(rt, n)))
			if err == nil {
				services = append(services, table.Services()...)
			}
			drawn++
		}
		accepted += len(services)
		table, err := migration.NewTable(migration.Global{DebugHeaders: true}, services)
		require.NoError(rt, err)
		if err := nginxAccepts(t, table, params); err != nil {
			rt.Fatalf("%.2000v", err)
		}
	})
	require.Greater(t, accepted, drawn/2, "config rejects most services, so the test tries little")
}

// TestNginxAndPatternMatchAgree: on 400 values for each of 400 patterns.
func TestNginxAndPatternMatchAgree(t *testing.T) {
	t.Parallel()
	const count, values = 400, 400
	var patterns []migration.Pattern
	for seed := 0; len(patterns) < count; seed++ {
		if pattern, err := migration.ParsePattern(rapid.Custom(drawPattern).Example(seed)); err == nil {
			patterns = append(patterns, pattern)
		}
	}
	address := servePatterns(t, patterns)
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	reader, matches := bufio.NewReader(conn), 0
	for seed := range values {
		value := drawnValue.Example(seed)
		_, err := fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\nV: %s\r\n\r\n", value)
		require.NoError(t, err)
		response, err := http.ReadResponse(reader, nil)
		require.NoError(t, err)
		answer, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.Len(t, answer, count, "%s", answer)
		for i, pattern := range patterns {
			rule := migration.HeaderRule{Pattern: &pattern}
			require.Equal(t, rule.Matches(value), answer[i] == '1', "pattern %q (%s), value %q", pattern, pattern.PCRE(), value)
			matches += int(answer[i] - '0')
		}
	}
	require.Greater(t, matches, count*values/10, "too few values match")
	require.Less(t, matches, count*values*9/10, "too many values match")
}

// drawnValue is the value of a header: no space around it, and inside it any
// byte that nginx accepts.
var drawnValue = rapid.Custom(func(rt *rapid.T) string {
	parts := rapid.SliceOfN(rapid.SampledFrom([]string{
		"a", "a", "b", "b", "ab", "k", "K", "s", "S", "c", "-", " ", "_", ".", "$", "\"", "'", "{", "}", "#", ";", "\\", ",", "1", "\t", "\x7f", "\x80", "\xaa", "\xb5", "\xc5\xbf", "\xe2\x84\xaa", "\xff", "Z",
	}), 0, 8).Draw(rt, "parts")
	return strings.Trim(strings.Join(parts, ""), " \t")
})

// servePatterns starts an nginx that answers with one digit for each pattern,
// 1 if it matches the header V. It returns the address.
func servePatterns(t *testing.T, patterns []migration.Pattern) string {
	params := newParams(t)
	var maps, answer strings.Builder
	for i, pattern := range patterns {
		fmt.Fprintf(&maps, "map $http_v $p%d { \"\" 0; \"~%s\" 1; default 0; }\n", i, pattern.PCRE())
		fmt.Fprintf(&answer, "$p%d", i)
	}
	text := fmt.Sprintf(`daemon off; pid %[1]s/pid; error_log %[1]s/error.log; events {}
http { access_log off; variables_hash_max_size 8192; keepalive_requests 100000;
client_body_temp_path %[1]s/temp; proxy_temp_path %[1]s/temp; fastcgi_temp_path %[1]s/temp; uwsgi_temp_path %[1]s/temp; scgi_temp_path %[1]s/temp;
%[2]s server { listen %[3]s; location / { return 200 "%[4]s"; } } }`, params.RuntimeDir, &maps, params.Listen, &answer)
	startNginx(t, params.RuntimeDir, text)
	awaitListener(t, params.Listen.String())
	return params.Listen.String()
}

// FuzzAccepts: nginx accepts every text that config accepts.
func FuzzAccepts(f *testing.F) {
	for seed := range uint64(4) {
		f.Add([]byte(random{rand.New(rand.NewPCG(seed, 2))}.configText("http://127.0.0.1:1", "http://127.0.0.1:2")))
	}
	f.Add([]byte("services:\n  - {name: a, old_host: _, old_backend: 'b:80', new_host: c, new_backend: 'd:81', path_prefix: /@, fallback: {on_status: [499]}}\n"))
	params := newParams(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		table, err := config.Load("fuzz.yaml", text)
		if err != nil || namesFiles(table) {
			return
		}
		require.NoError(t, nginxAccepts(t, table, params))
	})
}

// namesFiles reports whether nginx would read certificate files, which the test
// does not have.
func namesFiles(table *migration.Table) bool {
	for _, s := range table.Services() {
		if s.TLS.CAFile != "" || s.TLS.ClientCertFile != "" {
			return true
		}
	}
	return false
}

// drawService draws a service that config mostly accepts. Its name and host
// begin with its number, because they must be unique.
func drawService(rt *rapid.T, n int) string {
	draw := func(label, pattern string) string {
		return fmt.Sprintf("%q", rapid.StringMatching(pattern).Draw(rt, label))
	}
	var out strings.Builder
	key := func(name, value string) { fmt.Fprintf(&out, "    %s: %s\n", name, value) }
	fmt.Fprintf(&out, "  - name: s%d%s\n", n, rapid.StringMatching(`[a-z0-9._-]{0,50}[a-z0-9]`).Draw(rt, "name"))
	key("old_host", fmt.Sprintf("%q", rapid.SampledFrom([]string{"", "*."}).Draw(rt, "wildcard")+fmt.Sprintf("h%d-", n)+rapid.StringMatching(`[a-z0-9_]{1,50}(\.[A-Za-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?){0,3}`).Draw(rt, "host")))
	key("old_backend", draw("old", `(https?://)?(10\.1\.2\.3|\[2001:db8::1\]|[a-z0-9]{1,20}(\.[a-z_]{1,10}){0,3}):[1-9][0-9]{0,3}`))
	key("new_host", draw("new_host", `(off|_|default|[a-z0-9]{1,63}(\.[a-z0-9_-]{1,20}[a-z]){0,5})`))
	key("new_backend", draw("new", `https?://([a-z0-9]{1,20}|10\.0\.0\.1|\[::1\])(:[1-9][0-9]{0,3})?`))
	key("path_prefix", draw("path", `/([A-Za-z0-9_.~!&'()*+,=:@-]{1,40}/?){0,6}`))
	key("timeout", draw("timeout", `[1-9][0-9]{0,2}(ms|s)`))
	key("max_body_size", draw("body", `[1-9][0-9]{0,3}[kKmMgG]?`))
	key("gzip", fmt.Sprint(rapid.Bool().Draw(rt, "gzip")))
	key("migration", "{strategy: user_hash, hash_key: "+draw("key", "(ip|header:[A-Za-z0-9][A-Za-z0-9_-]{0,100}[A-Za-z0-9]|cookie:[a-zA-Z0-9!#%&'*+.^_`|~-]{1,128})")+", cohort: "+draw("cohort", `([a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?)?`)+"}")
	key("fallback", fmt.Sprintf("{enabled: %t, on_status: [%d]}", rapid.Bool().Draw(rt, "fallback"), rapid.IntRange(400, 599).Draw(rt, "status")))
	out.WriteString("    canary:\n      header_rules:\n")
	for range rapid.IntRange(1, 4).Draw(rt, "rules") {
		match := "value: " + fmt.Sprintf("%q", "x"+rapid.StringMatching(`[ -~]{0,500}`).Draw(rt, "value")+"x")
		if rapid.Bool().Draw(rt, "by pattern") {
			match = "pattern: " + fmt.Sprintf("%q", drawPattern(rt))
		}
		fmt.Fprintf(&out, "        - {header: %s, %s, target: new_cluster}\n", draw("header", `[A-Za-z0-9]([A-Za-z0-9_-]{0,126}[A-Za-z0-9])?`), match)
	}
	fmt.Fprintf(&out, "      ip_rules: [{cidr: %s, target: old_cluster}]\n", draw("cidr", `(0\.0\.0\.0/0|::/0|::/1|10\.0\.0\.0/8|128\.0\.0\.0/1|[1-9]\.[0-9]\.[0-9]\.[0-9]|2001:db8::/32|::1)`))
	return out.String()
}

// drawPattern draws a pattern that ParsePattern mostly accepts, with few
// letters, so that it matches some of the drawn values.
func drawPattern(rt *rapid.T) string {
	atom := rapid.SampledFrom([]string{
		"a", "b", "k", "S", "-", " ", "_", `\.`, `\$`, `"`, "'", "{", "}", "#", ";", `\\`, ".", "[ab]", "[^a]", "[a-c-]", `[]{};$]`, "[[:alpha:]]", "[^[:space:]]",
		`\d`, `\w`, `\W`, `\s`, `\S`, `\b`, `\B`, "^", "$", `\A`, `\z`, "(a|b)", "(|a)", "(?:ab)", "(?i:aK)", "(?i:[a-k])", "(?i:[^ks])", "(a|ab)(c|bcd)", `\x41`, `\Q.*\E`, "x*?", "[^\\x00-\\x7f]", "(?s:.)", "(a*)+", "(^a|b$)", "()",
	})
	suffix := rapid.SampledFrom([]string{"", "", "", "", "*", "+", "?", "*?", "+?", "??", "{2}", "{0,2}", "{1,}", "{0}", "{2,3}?"})
	var out strings.Builder
	if rapid.IntRange(0, 4).Draw(rt, "flag") == 0 {
		out.WriteString("(?i)")
	}
	for range rapid.IntRange(1, 6).Draw(rt, "atoms") {
		out.WriteString(atom.Draw(rt, "atom") + suffix.Draw(rt, "suffix"))
		if rapid.IntRange(0, 7).Draw(rt, "or") == 0 {
			out.WriteString("|")
		}
	}
	return out.String()
}

package behavior

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/golden"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/nginxgen"
)

// hostileTable has three services on one host, and two other hosts. All backends
// belong to the witness, so it sees requests that reach a wrong one.
func hostileTable(t *testing.T, w *witness, percentage int, global string) *migration.Table {
	text := global + "\nservices:"
	for _, s := range []struct{ name, host, prefix, rules string }{
		{"site", "shop.example.com", "/", ""},
		{"api", "shop.example.com", "/api", ""},
		{"admin", "shop.example.com", "/admin", ""},
		{"other", "other.example.com", "/only", ""},
		{"rules", "rules.example.com", "/", hostileRules},
	} {
		text += fmt.Sprintf(`
  - name: %s
    old_host: %s
    path_prefix: %s
    old_backend: http://%s
    new_host: %s
    new_backend: http://%s
    migration: {enabled: true, percentage: %d}%s`, s.name, s.host, s.prefix,
			w.backend(t, s.name, migration.Old), newHost, w.backend(t, s.name, migration.New), percentage, s.rules)
	}
	return loadTable(t, text)
}

const hostileRules = `
    canary:
      header_rules:
        - {header: X-Migration-Target, value: new, target: new_cluster}
        - {header: X-Migration-Target, value: old, target: old_cluster}
      ip_rules:
        - {cidr: 203.0.113.0/24, target: new_cluster}
        - {cidr: 198.51.100.0/24, target: old_cluster}`

// way is how a request is sent: through plain nginx, or through a proxy that
// sends everything to one side.
type way struct {
	label   string // as in the files: "plain", "0 %", "100 %"
	trusted bool
	side    migration.Side // of requests without a rule; "" for plain
	witness *witness
	address string
	dir     string
	table   *migration.Table
}

func hostileWays(t *testing.T) []*way {
	ways := []*way{{label: "plain", witness: &witness{}}}
	ways[0].startPlain(t)
	for _, trusted := range []bool{false, true} {
		for _, w := range []*way{{label: "0 %", side: migration.Old}, {label: "100 %", side: migration.New}} {
			w.trusted, w.witness = trusted, &witness{}
			percentage, global := 0, ""
			if w.side == migration.New {
				percentage = 100
			}
			if trusted {
				global = `global: {trusted_proxies: ["127.0.0.0/8"]}`
			}
			w.table = hostileTable(t, w.witness, percentage, global)
			r := startRig(t, w.table, nil)
			w.address, w.dir = r.params.Listen.String(), r.params.RuntimeDir
			ways = append(ways, w)
		}
	}
	return ways
}

// startPlain starts an nginx with a typical config and one backend.
func (w *way) startPlain(t *testing.T) {
	params := newParams(t)
	w.address, w.dir = params.Listen.String(), params.RuntimeDir
	startNginx(t, params.RuntimeDir, fmt.Sprintf(`daemon off; pid %[1]s/nginx.pid; error_log %[1]s/error.log; events {}
http { access_log off; client_body_temp_path %[1]s/temp; proxy_temp_path %[1]s/temp; fastcgi_temp_path %[1]s/temp; uwsgi_temp_path %[1]s/temp; scgi_temp_path %[1]s/temp;
server { listen %[2]s; location / { proxy_pass http://%[3]s; proxy_http_version 1.1;
proxy_set_header Host $http_host; proxy_set_header Connection "";
proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Real-IP $remote_addr; } } }`,
		params.RuntimeDir, params.Listen, w.witness.backend(t, "site", "")))
	awaitListener(t, w.address)
}

// differs lists all reasons for results that differ from plain nginx.
var differs = map[string]string{
	"services":         "plain nginx has one backend and one host; the proxy has services, and answers 404 or 421 without one",
	"own headers":      "the headers that tell backends about the client (ADR 8)",
	"Host of a target": "an absolute target chooses the service and replaces the Host header (RFC 9112, 3.2.2)",
	"odd headers pass": "the application may need unusual headers: ignore_invalid_headers off, underscores_in_headers on",
	"larger headers":   "4 x 32k instead of 4 x 8k, so that a request that passes the ingress controller passes the proxy",
	"streamed to old":  "bodies to old are not buffered (ADR 7), so old sees the head of a request that its client never finished",
	"larger bodies":    "no limit unless max_body_size sets one; plain nginx has 1m",
	"websockets":       "the proxy upgrades them",
	"names translated": "Location has the host that the client used",
	"no path":          "nginx keeps no path of http://HOST?QUERY, and would send new the path of the file that try_files found; old gets the request",
	"answers":          "X-Accel-Redirect passes to the client, as without a proxy; plain nginx follows it",
	"rules":            "a rule of the service decided",
}

// TestHostileRequests sends each request of testdata/hostile three ways:
// through a plain nginx, and through a proxy with all traffic on old and with all
// traffic on new. The files have the results. The test checks what holds for
// every request, and that the file has a reason where the proxy differs from
// plain nginx.
func TestHostileRequests(t *testing.T) {
	t.Parallel()
	ways := hostileWays(t)
	before := make([]string, len(ways))
	for i, w := range ways {
		before[i] = workers(t, w.dir)
	}
	files, err := filepath.Glob("testdata/hostile/*.txt")
	require.NoError(t, err)
	cases := 0
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			page := parseHostile(t, file)
			for i := range page.cases {
				page.cases[i].send(t, ways)
			}
			cases += len(page.cases)
			if isRecordedVersion(t) {
				golden.Check(t, file, []byte(page.String()))
			}
		})
	}
	t.Logf("%d cases", cases)
	for i, w := range ways {
		require.Equal(t, before[i], workers(t, w.dir), "%s: a worker died", w.label)
		w.requireNoAlert(t)
	}
}

// isRecordedVersion reports whether the files have the results of this nginx. Later
// versions refuse more requests; the other checks hold for them too.
func isRecordedVersion(t *testing.T) bool {
	return nginxVersion(t).Before(nginxgen.Version{Major: 1, Minor: 23})
}

// send sends one case every way and keeps the results.
func (c *hostileCase) send(t *testing.T, ways []*way) {
	c.results = map[string]string{}
	for _, w := range ways {
		if w.side != "" && w.trusted != c.trusted {
			continue
		}
		before := w.witness.begin(c.answer)
		answered := c.exchange(t, w, before)
		arrived := w.witness.since(before)
		c.results[w.label] = answered + c.describe(w, arrived)
		if w.side == migration.Old {
			c.nameServices(arrived)
		}
		if w.side != "" {
			c.requireSafe(t, w, arrived, answered)
		}
	}
	same := c.results["plain"] == c.results["0 %"] && c.results["plain"] == c.results["100 %"]
	named := len(c.reasons) > 0
	require.True(t, same != named || !isRecordedVersion(t) && (same || refusedEverywhere(c.results)), "%s: the file must have a reason if and only if the proxy differs from plain nginx: %v", c.name, c.results)
	for _, reason := range c.reasons {
		require.Contains(t, differs, reason, c.name)
	}
}

// refusedEverywhere tells whether each way ended with an error: error pages differ in length.
func refusedEverywhere(results map[string]string) bool {
	for _, result := range results {
		if !strings.HasPrefix(result, "4") && !strings.HasPrefix(result, "5") {
			return false
		}
	}
	return true
}

// nameServices replaces the one backend of plain nginx by the services that the
// proxy chose.
func (c *hostileCase) nameServices(atProxy []arrival) {
	for _, a := range atProxy {
		c.results["plain"] = strings.Replace(c.results["plain"], "; backend:", "; "+a.service+":", 1)
	}
	c.results["plain"] = strings.ReplaceAll(c.results["plain"], "; backend:", "; site:")
}

// choosesSide reports whether a reason lets a request choose its side.
func choosesSide(reason string) bool { return reason == "rules" || reason == "no path" }

// requireSafe checks what holds for every request.
func (c *hostileCase) requireSafe(t *testing.T, w *way, arrived []arrival, answered string) {
	context := fmt.Sprintf("%s, %s: %s", c.name, w.label, c.results[w.label])
	require.LessOrEqual(t, len(arrived), c.requests, "%s: one request became several", context)
	sides := map[migration.Side]bool{}
	for _, a := range arrived {
		sides[a.side] = true
		require.LessOrEqual(t, len(a.values("Content-Length"))+len(a.values("Transfer-Encoding")), 1, "%s: two body lengths", context)
		require.Len(t, a.values("Host"), 1, context)
		require.Equal(t, strings.Contains(c.request, "/safe/"), strings.Contains(a.Start, "/safe/"), "%s: a backend got the path of a weight file", context)
	}
	require.LessOrEqual(t, len(sides), 1, "%s: both sides got it", context)
	request, forwardedFor, unambiguous := c.parse()
	if !unambiguous {
		require.True(t, len(sides) == 0 || sides[w.side] || slices.ContainsFunc(c.reasons, choosesSide), "%s: it chose its side", context)
		return
	}
	request.Client = migration.ClientAddress(loopback, forwardedFor, w.table.Global().TrustedProxies)
	c.requireExplained(t, w.table.Decide(request), arrived, answered, context)
}

// requireExplained checks that Decide has the same service and side, or the same
// refusal.
func (c *hostileCase) requireExplained(t *testing.T, decision migration.Decision, arrived []arrival, answered, context string) {
	if decision.Service == nil {
		require.Empty(t, arrived, context)
		codes := map[migration.Code]string{migration.ReasonBadPath: "400", migration.ReasonUnknownHost: "421", migration.ReasonUnknownPath: "404"}
		// nginx may refuse it for another reason first.
		require.Contains(t, []string{codes[decision.Reason.Code], "400", "405", "414"}, answered[:3], context)
		return
	}
	for _, a := range arrived {
		require.Equal(t, string(decision.Service.Name), a.service, "%s: explain has another service", context)
		require.Equal(t, decision.Side, a.side, "%s: explain has another side", context)
	}
	if len(arrived) == 0 {
		require.Regexp(t, `\A(4|501|505|bare|nothing)`, answered, context)
	}
}

var loggedToken = regexp.MustCompile(` decision="([^"]*)"`)
var validToken = regexp.MustCompile(`\A(|bucket/[0-9]{1,2}/[0-9]{1,2}|(new|old)/(header_rule\[[0-9]+\]|ip_rule\[[0-9]+\]|direct|strategy))\z`)

// requireNoAlert: nginx logged no alert, and looked up no file with a name from
// a client.
func (w *way) requireNoAlert(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(w.dir, "error.log"))
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		// Only root may raise the limit, and no agent reads failures.sock here.
		if !strings.Contains(line, "setrlimit") && !strings.Contains(line, ": connect() failed (2: No such file or directory)") {
			require.NotRegexp(t, `\[(alert|crit|emerg)\]`, line)
		}
	}
	if w.side == "" {
		return
	}
	require.Eventually(t, func() bool { // nginx writes the log every 100 ms
		text, err = os.ReadFile(filepath.Join(w.dir, "access.log"))
		return err == nil && len(text) > 0
	}, patience, quick)
	for _, token := range loggedToken.FindAllStringSubmatch(string(text), -1) {
		require.Regexp(t, validToken, token[1])
	}
}

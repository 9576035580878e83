package behaviour

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/golden"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/nginxgen"
)

// hostileTable has three services on one host and two hosts beside it. Every
// backend is one of the witness's, so a request that goes astray is seen.
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
	table, err := config.Load("hostile.yaml", []byte(text))
	require.NoError(t, err)
	return table
}

const hostileRules = `
    canary:
      header_rules:
        - {header: X-Migration-Target, value: new, target: new_cluster}
        - {header: X-Migration-Target, value: old, target: old_cluster}
      ip_rules:
        - {cidr: 203.0.113.0/24, target: new_cluster}
        - {cidr: 198.51.100.0/24, target: old_cluster}`

// way is how a request is sent: through plain nginx, or through the proxy when
// all goes to one side.
type way struct {
	label   string // as in the table: "plain", "0 %", "100 %"
	trusted bool
	side    migration.Side // where requests go unless a rule speaks; "" if plain
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

// startPlain is what people write by hand, with one backend.
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

// differs is the whole list of ways in which a hostile request may end
// otherwise than with plain nginx.
var differs = map[string]string{
	"services":         "plain nginx has one backend and one host; we have services, and 404 or 421 where there is none",
	"own headers":      "what backends are told of the client, see ADR 8",
	"Host of a target": "an absolute target decides the service, so the Host header beside it is replaced (RFC 9112, 3.2.2)",
	"odd headers pass": "nothing is dropped that the application may need: ignore_invalid_headers off, underscores_in_headers on",
	"larger headers":   "4 x 32k instead of 4 x 8k, so that what passed the ingress controller passes us",
	"streamed to old":  "bodies stream towards old (ADR 7): a backend sees the head of a request that its client never finished",
	"larger bodies":    "no limit unless max_body_size sets one; plain nginx has 1m",
	"websockets":       "they are upgraded",
	"names translated": "Location names the host that the client knows",
	"no path":          "of http://HOST?QUERY nginx keeps no bytes, and would ask new for the file that try_files found; old gets it",
	"answers":          "X-Accel-Redirect is the client's, as it was without us; plain nginx obeys it",
	"rules":            "a rule of the service spoke",
}

// TestHostileRequests sends each request of testdata/hostile three ways:
// through a plain nginx, through the proxy with all traffic on old, and with
// all on new. What came of it stands in the files; what must hold for every
// request is checked here; and where plain nginx and we differ the file must
// name the reason.
func TestHostileRequests(t *testing.T) {
	t.Parallel()
	ways := hostileWays(t)
	before := make([][]string, len(ways))
	for i, w := range ways {
		before[i] = w.workers(t)
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
			if recorded(t) {
				golden.Check(t, file, []byte(page.String()))
			}
		})
	}
	t.Logf("%d cases", cases)
	for i, w := range ways {
		require.Equal(t, before[i], w.workers(t), "%s: a worker died", w.label)
		w.requireQuiet(t)
	}
}

// recorded tells whether this nginx is the one whose outcomes stand in the
// files. Later ones refuse more; what must hold for every request holds there
// too, and they may not differ from plain nginx where the file names no reason.
func recorded(t *testing.T) bool {
	return nginxVersion(t).Before(nginxgen.Version{Major: 1, Minor: 23})
}

// send sends one case every way and keeps what came of it.
func (c *hostileCase) send(t *testing.T, ways []*way) {
	c.outcomes = map[string]string{}
	for _, w := range ways {
		if w.side != "" && w.trusted != c.trusted {
			continue
		}
		before := w.witness.begin(c.answer)
		answered := c.exchange(t, w, before)
		arrived := w.witness.since(before)
		c.outcomes[w.label] = answered + c.describe(w, arrived)
		if w.side == migration.Old {
			c.nameServices(arrived)
		}
		if w.side != "" {
			c.requireSafe(t, w, arrived, answered)
		}
	}
	same := c.outcomes["plain"] == c.outcomes["0 %"] && c.outcomes["plain"] == c.outcomes["100 %"]
	named := len(c.reasons) > 0
	require.True(t, same != named || same && !recorded(t), "%s: name a reason where we differ from plain nginx, and only there: %v", c.name, c.outcomes)
	for _, reason := range c.reasons {
		require.Contains(t, differs, reason, c.name)
	}
}

// nameServices makes plain nginx's one backend the services that we found.
func (c *hostileCase) nameServices(ours []arrival) {
	for _, a := range ours {
		c.outcomes["plain"] = strings.Replace(c.outcomes["plain"], "; backend:", "; "+a.service+":", 1)
	}
	c.outcomes["plain"] = strings.ReplaceAll(c.outcomes["plain"], "; backend:", "; site:")
}

// choosesSide are the reasons why a request may leave the side of the others.
func choosesSide(reason string) bool { return reason == "rules" || reason == "no path" }

// requireSafe is what holds for every request, whatever it looks like.
func (c *hostileCase) requireSafe(t *testing.T, w *way, arrived []arrival, answered string) {
	context := fmt.Sprintf("%s, %s: %s", c.name, w.label, c.outcomes[w.label])
	require.LessOrEqual(t, len(arrived), c.requests, "%s: one request became several", context)
	sides := map[migration.Side]bool{}
	for _, a := range arrived {
		sides[a.side] = true
		require.LessOrEqual(t, len(a.values("Content-Length"))+len(a.values("Transfer-Encoding")), 1, "%s: framed twice", context)
		require.Len(t, a.values("Host"), 1, context)
		require.Equal(t, strings.Contains(c.request, "/safe/"), strings.Contains(a.Start, "/safe/"), "%s: a backend was asked for our file", context)
	}
	require.LessOrEqual(t, len(sides), 1, "%s: both sides saw it", context)
	request, forwardedFor, plain := c.readable()
	if !plain {
		require.True(t, len(sides) == 0 || sides[w.side] || slices.ContainsFunc(c.reasons, choosesSide), "%s: it chose its side", context)
		return
	}
	request.Client = migration.ClientAddress(loopback, forwardedFor, w.table.Global().TrustedProxies)
	c.requireExplained(t, w.table.Decide(request), arrived, answered, context)
}

// requireExplained: explain says the same service, side or refusal.
func (c *hostileCase) requireExplained(t *testing.T, decision migration.Decision, arrived []arrival, answered, context string) {
	if decision.Service == nil {
		require.Empty(t, arrived, context)
		codes := map[migration.Code]string{migration.ReasonBadPath: "400", migration.ReasonUnknownHost: "421", migration.ReasonUnknownPath: "404"}
		// nginx may refuse it for another reason first.
		require.Contains(t, []string{codes[decision.Reason.Code], "400", "405", "414"}, answered[:3], context)
		return
	}
	for _, a := range arrived {
		require.Equal(t, string(decision.Service.Name), a.service, "%s: explain says another service", context)
		require.Equal(t, decision.Side, a.side, "%s: explain says another side", context)
	}
	if len(arrived) == 0 {
		require.Regexp(t, `\A(4|501|505|bare|nothing)`, answered, context)
	}
}

var loggedToken = regexp.MustCompile(` decision="([^"]*)"`)
var ourToken = regexp.MustCompile(`\A(|bucket/[0-9]{1,2}/[0-9]{1,2}|(new|old)/(header_rule\[[0-9]+\]|ip_rule\[[0-9]+\]|direct|strategy))\z`)

// requireQuiet: nginx saw nothing to alarm anybody with, and looked at no file
// whose name a client wrote.
func (w *way) requireQuiet(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(w.dir, "error.log"))
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		// Only root may raise the limit; and no agent reads the failures here.
		if !strings.Contains(line, "setrlimit") && !strings.Contains(line, ": connect() failed (2: No such file or directory)") {
			require.NotRegexp(t, `\[(alert|crit|emerg)\]`, line)
		}
	}
	if w.side == "" {
		return
	}
	require.Eventually(t, func() bool { // the log is written every 100 ms
		text, err = os.ReadFile(filepath.Join(w.dir, "access.log"))
		return err == nil && len(text) > 0
	}, patience, quick)
	for _, token := range loggedToken.FindAllStringSubmatch(string(text), -1) {
		require.Regexp(t, ourToken, token[1])
	}
}

// workers are the process ids of nginx's children, where the system tells.
func (w *way) workers(t *testing.T) []string {
	text, err := os.ReadFile(filepath.Join(w.dir, "nginx.pid"))
	require.NoError(t, err)
	pid := strings.TrimSpace(string(text))
	children, _ := os.ReadFile("/proc/" + pid + "/task/" + pid + "/children")
	all := strings.Fields(string(children))
	slices.Sort(all)
	return all
}

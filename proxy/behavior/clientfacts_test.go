package behavior

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// forwarded has the headers that tell a backend about the client. PORT stands
// for the port that the proxy listens on.
type forwarded struct{ For, Proto, Port, RealIP, Host string }

// TestClientFacts: behind controllers, and from a proxy in trusted_proxies, backends
// get the headers as they come in, and no others. A client elsewhere cannot hide its
// address: X-Forwarded-For ends with it, and X-Real-IP is it. X-Forwarded-Proto and
// -Port are those of the client only if no proxy is named. See ADR 17.
func TestClientFacts(t *testing.T) {
	t.Parallel()
	const (
		noProxy     = ""
		loopback    = `global: {trusted_proxies: ["127.0.0.0/8", "10.0.0.0/8"]}`
		controllers = "behind controllers"
		elsewhere   = `global: {trusted_proxies: ["192.0.2.0/24"]}`
	)
	given := "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\nX-Real-IP: 203.0.113.9\r\nX-Forwarded-Host: asked.example.org\r\n"
	underscores := "X_Forwarded_For: 6.6.6.6\r\nx_forwarded_proto: https\r\nX_Real_IP: 6.6.6.6\r\nX_FORWARDED_HOST: evil\r\nX_Forwarded_Port: 1\r\n"
	cases := []clientFacts{
		{"no headers", noProxy, "", forwarded{"127.0.0.1", "http", "PORT", "127.0.0.1", ""}},
		{"given", noProxy, given, forwarded{"203.0.113.7, 127.0.0.1", "https", "443", "127.0.0.1", "asked.example.org"}},
		{"https without a port", noProxy, "X-Forwarded-Proto: HTTPS\r\n", forwarded{"127.0.0.1", "HTTPS", "443", "127.0.0.1", ""}},
		{"http without a port", noProxy, "X-Forwarded-Proto: http\r\n", forwarded{"127.0.0.1", "http", "80", "127.0.0.1", ""}},
		{"https without a port, trusted", loopback, "X-Forwarded-Proto: https\r\n", forwarded{"", "https", "", "", ""}},
		{"https without a port, not trusted", elsewhere, "X-Forwarded-Proto: https\r\n", forwarded{"127.0.0.1", "http", "PORT", "127.0.0.1", ""}},
		{"no headers, trusted", loopback, "", forwarded{}},
		{"no headers, not trusted", elsewhere, "", forwarded{"127.0.0.1", "http", "PORT", "127.0.0.1", ""}},
		// X-Real-IP is the client of X-Forwarded-For.
		{"trusted", loopback, given, forwarded{"203.0.113.7", "https", "443", "203.0.113.7", "asked.example.org"}},
		{"trusted through a chain", loopback, "X-Forwarded-For: 203.0.113.7, 10.1.2.3\r\n", forwarded{"203.0.113.7, 10.1.2.3", "", "", "", ""}},
		{"forged address left of the client", loopback, "X-Real-IP: 10.6.6.6\r\nX-Forwarded-For: 10.6.6.6, 203.0.113.7\r\n", forwarded{"10.6.6.6, 203.0.113.7", "", "", "203.0.113.7", ""}},
		{"several lines", loopback, "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-For: 10.1.2.3\r\n", forwarded{"203.0.113.7, 10.1.2.3", "", "", "", ""}},
		{"not trusted", elsewhere, given, forwarded{"203.0.113.7, 127.0.0.1", "http", "PORT", "127.0.0.1", "asked.example.org"}},
		{"behind controllers", controllers, given, forwarded{"203.0.113.7", "https", "443", "203.0.113.9", "asked.example.org"}},
		{"behind controllers, none", controllers, "", forwarded{}},
		// No backend gets the names with underscores, and X_Forwarded_For has no
		// effect. Other names have the same $http_ variables as the real headers,
		// and the same effect, but X_Real_IP only that X-Real-IP is told.
		{"underscores", noProxy, underscores, forwarded{"127.0.0.1", "https", "1", "127.0.0.1", "evil"}},
		{"underscores, trusted", loopback, underscores, forwarded{"", "https", "1", "127.0.0.1", "evil"}},
		{"underscores, not trusted", elsewhere, underscores, forwarded{"127.0.0.1", "http", "PORT", "127.0.0.1", "evil"}},
	}
	proxies := map[string]*rig{}
	for _, trusted := range []string{noProxy, loopback, elsewhere} {
		proxies[trusted] = startSides(t, trusted)
	}
	proxies[controllers] = startRigBehind(t, proxies[elsewhere].table)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			requestID := `\A\z`
			if c.trusted == noProxy || c.trusted == elsewhere {
				requestID = `\A[0-9a-f]{32}\z`
			}
			for _, host := range []string{"old.example.com", "new.example.com", "bare.example.com"} {
				require.Regexp(t, requestID, c.check(t, proxies[c.trusted], host).Get("X-Request-ID"))
			}
		})
	}
}

// clientFacts are the headers of a client about itself, and what a backend gets of them.
type clientFacts struct {
	name, trusted, header string
	want                  forwarded
}

// check gives the headers that the backend got.
func (c clientFacts) check(t *testing.T, r *rig, host string) http.Header {
	echo := askEcho(t, r.params.Listen.String(), "POST / HTTP/1.1\r\nHost: "+host+"\r\n"+c.header+"Content-Length: 0\r\n\r\n")
	for name, values := range echo.Header {
		require.NotContains(t, name, "_")
		require.Len(t, values, 1, name)
	}
	want := c.want
	want.Port = strings.Replace(want.Port, "PORT", portOf(r), 1)
	if host != "old.example.com" {
		want.Host = host
	}
	got := forwarded{echo.Header.Get("X-Forwarded-For"), echo.Header.Get("X-Forwarded-Proto"), echo.Header.Get("X-Forwarded-Port"),
		echo.Header.Get("X-Real-IP"), echo.Header.Get("X-Forwarded-Host")}
	require.Equal(t, want, got, host)
	return echo.Header
}

func portOf(r *rig) string {
	_, port, _ := strings.Cut(r.params.Listen.String(), ":")
	return port
}

// TestHostOfAnAbsoluteTarget: the target chooses the service, so the backend
// must not get another name from the Host header (RFC 9112, 3.2.2).
func TestHostOfAnAbsoluteTarget(t *testing.T) {
	t.Parallel()
	proxy := startSides(t, "").params.Listen.String()
	for _, host := range []string{"evil.example.org", "old.example.com.evil.example.org", "xold.example.com", "new.example.com"} {
		echo := askEcho(t, proxy, "GET http://old.example.com/x HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
		require.Equal(t, []string{"old", "old.example.com"}, []string{echo.Backend, echo.Host})
	}
	echo := askEcho(t, proxy, "GET http://new.example.com/x HTTP/1.1\r\nHost: evil.example.org\r\n\r\n")
	require.Equal(t, []string{"new", "new.example.com"}, []string{echo.Backend, echo.Header.Get("X-Forwarded-Host")})
	for _, host := range []string{"old.example.com", "OLD.Example.com", "old.example.com:8443", "old.example.com.", "old.example.com.:80"} {
		echo := askEcho(t, proxy, "GET /x HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
		require.Equal(t, host, echo.Host, "as the client sent it")
		echo = askEcho(t, proxy, "GET  /x HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
		require.Equal(t, host, echo.Host, "nginx reads two spaces as one")
	}
}

// TestForwardedHostIsAnAuthority: new builds links from X-Forwarded-Host. Older
// versions of nginx do not check the Host header after the colon; newer ones
// answer 400.
func TestForwardedHostIsAnAuthority(t *testing.T) {
	t.Parallel()
	proxy := startSides(t, "").params.Listen.String()
	for host, want := range map[string]string{
		"new.example.com:8443":                "new.example.com:8443",
		"NEW.example.com":                     "NEW.example.com",
		"new.example.com:80@evil.example.org": "new.example.com",
		"new.example.com:@evil.example.org":   "new.example.com",
		"new.example.com:x":                   "new.example.com",
	} {
		answer, _ := dial(t, proxy).send(t, "GET /x HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
		if host != want && strings.HasPrefix(answer.Start, "HTTP/1.1 400 ") {
			continue
		}
		echo := parseEcho(t, answer)
		require.Equal(t, []string{"new", want}, []string{echo.Backend, echo.Header.Get("X-Forwarded-Host")}, host)
	}
}

// TestUnderscoresBehindControllers: old gets what the controller lets through, and
// nothing that the proxy made of it. New gets no other name of the one header that
// the proxy sets.
func TestUnderscoresBehindControllers(t *testing.T) {
	t.Parallel()
	proxy := startRigBehind(t, startSides(t, "").table).params.Listen.String()
	given := "X_Real_IP: 6.6.6.6\r\nX_Forwarded_Host: evil\r\nTransfer_Encoding: chunked\r\n"
	echo := askEcho(t, proxy, "GET / HTTP/1.1\r\nHost: old.example.com\r\n"+given+"\r\n")
	require.Equal(t, http.Header{"X_real_ip": {"6.6.6.6"}, "X_forwarded_host": {"evil"}}, echo.Header)
	echo = askEcho(t, proxy, "GET / HTTP/1.1\r\nHost: new.example.com\r\n"+given+"\r\n")
	echo.Header.Del("Migration-Proxy-Loop")
	require.Equal(t, http.Header{"X_real_ip": {"6.6.6.6"}, "X-Forwarded-Host": {"new.example.com"}}, echo.Header)
}

// TestDropInvalidHeaders: with the setting, rules and backends get X-Name alone, as behind
// a controller with nginx's defaults.
func TestDropInvalidHeaders(t *testing.T) {
	t.Parallel()
	old, new := startBackend(t, testbed.Options{Name: "old"}), startBackend(t, testbed.Options{Name: "new"})
	rule := "    migration: {enabled: true, percentage: 0}\n    canary: {header_rules: [{header: X-Migration-Target, value: new, target: new_cluster}]}\n"
	for drop, want := range map[bool]struct{ underscores, both string }{false: {"new", "old"}, true: {"old", "new"}} {
		text := fmt.Sprintf("global: {drop_invalid_headers: %t}\nservices:%s", drop, serviceText("old", old.URL(), new.URL(), rule))
		proxy := startRig(t, loadTable(t, text), nil).params.Listen.String()
		echo := askEcho(t, proxy, "GET / HTTP/1.1\r\nHost: old.example.com\r\nX_Migration_Target: new\r\nX.Odd: 1\r\n\r\n")
		require.Equal(t, want.underscores, echo.Backend)
		require.Equal(t, drop, echo.Header.Get("X.odd") == "", echo.Header)
		require.Equal(t, drop, echo.Header.Get("X_migration_target") == "", echo.Header)
		echo = askEcho(t, proxy, "GET / HTTP/1.1\r\nHost: old.example.com\r\nX_Migration_Target: x\r\nX-Migration-Target: new\r\n\r\n")
		require.Equal(t, want.both, echo.Backend, "nginx reads the first, or joins both")
	}
}

// TestRequestID: the request id of a client is kept.
func TestRequestID(t *testing.T) {
	t.Parallel()
	proxy := startSides(t, "").params.Listen.String()
	for _, host := range []string{"old.example.com", "new.example.com"} {
		echo := askEcho(t, proxy, "GET / HTTP/1.1\r\nHost: "+host+"\r\nX-Request-ID: mine\r\n\r\n")
		require.Equal(t, []string{"mine"}, echo.Header.Values("X-Request-ID"))
	}
}

// TestNoHeadersAreAdded: without debug_headers a response has only the headers
// of its backend.
func TestNoHeadersAreAdded(t *testing.T) {
	t.Parallel()
	quiet, debug := startSides(t, ""), startSides(t, "global: {debug_headers: true}")
	for _, side := range []string{"old", "new"} {
		request := "GET / HTTP/1.1\r\nHost: " + side + ".example.com\r\n\r\n"
		answer, _ := dial(t, quiet.params.Listen.String()).send(t, request)
		require.Empty(t, answer.without("Content-Type", "Content-Length", "Date", "X-Testbed-Backend", "Connection"))
		answer, _ = dial(t, debug.params.Listen.String()).send(t, request)
		require.Equal(t, side, answer.value("X-Migration-Side"))
		require.NotEmpty(t, answer.value("X-Migration-Reason"))
	}
}

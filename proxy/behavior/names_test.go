package behavior

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// namedService is a service with all traffic on new.
func namedService(name, oldHost, newHost, backend, more string) string {
	return fmt.Sprintf(`
  - name: %s
    old_host: %q
    old_backend: http://%s
    new_host: %s
    new_backend: http://%[3]s
    migration: {enabled: true, percentage: 100}
%[5]s`, name, oldHost, backend, newHost, more)
}

// askFor sends a request of one service, and gives the answer and what the backend got.
func askFor(t *testing.T, proxy string, backend *wire, id, head, answer string) (got, atBackend message) {
	backend.answer(id, answer)
	got, _ = dial(t, proxy).send(t, head+"X-Case: "+id+"\r\n\r\n")
	received := backend.received(id)
	require.Len(t, received, 1, "%v", got)
	return got, received[0]
}

// TestRewriteOrigin: Origin and Referer follow Host, unless the service switches it off.
func TestRewriteOrigin(t *testing.T) {
	t.Parallel()
	backend := startWire(t)
	table := loadTable(t, "services:"+
		namedService("on", "on.example.com", "on.new.example.com", backend.address, "")+
		namedService("off", "off.example.com", "off.new.example.com", backend.address, "    rewrite_origin: false\n")+
		namedService("any", "*.any.example.com", "any.new.example.com", backend.address, "")+
		namedService("same", "same.example.com", "same.example.com", backend.address, ""))
	proxy := startRigBehind(t, table).params.Listen.String()
	for i, c := range []struct{ host, origin, wantOrigin string }{
		{"on.example.com", "https://on.example.com", "https://on.new.example.com"},
		{"ON.example.com:8443", "https://On.Example.com:8443", "https://on.new.example.com"},
		{"on.example.com", "http://on.example.com.:80", "http://on.new.example.com"},
		{"on.example.com", "https://off.example.com", "https://off.example.com"},
		{"on.example.com", "null", "null"},
		{"off.example.com", "https://off.example.com", "https://off.example.com"},
		{"a.any.example.com", "https://a.any.example.com", "https://any.new.example.com"},
		{"a.any.example.com", "https://b.any.example.com", "https://b.any.example.com"},
		{"same.example.com:8443", "https://same.example.com:8443", "https://same.example.com"},
		{"on.example.com", "", ""},
	} {
		head := "POST /x HTTP/1.1\r\nHost: " + c.host + "\r\nContent-Length: 0\r\n"
		want := ""
		if c.origin != "" && c.origin != "null" {
			head += "Origin: " + c.origin + "\r\nReferer: " + c.origin + "/form?a=b\r\n"
			want = c.wantOrigin + "/form?a=b"
		} else if c.origin != "" {
			head += "Origin: " + c.origin + "\r\n"
		}
		_, atBackend := askFor(t, proxy, backend, fmt.Sprint("origin ", i), head, plainAnswer)
		require.Equal(t, []string{c.wantOrigin, want}, []string{atBackend.value("Origin"), atBackend.value("Referer")}, "%+v", c)
	}
}

// TestNamesOfOtherServices: a redirect to another service of the table stays on this
// side, if one old host belongs to the new one.
func TestNamesOfOtherServices(t *testing.T) {
	t.Parallel()
	backend := startWire(t)
	table := loadTable(t, "services:"+
		namedService("shop", "shop.example.com", "shop.new.example.com", backend.address, "")+
		namedService("sso", "sso.example.com", "sso.new.example.com", backend.address, "")+
		namedService("sso-admin", "sso.example.com", "sso.new.example.com", backend.address, "    path_prefix: /admin\n")+
		namedService("one", "one.example.com", "both.new.example.com", backend.address, "")+
		namedService("two", "two.example.com", "both.new.example.com", backend.address, "")+
		namedService("any", "*.any.example.com", "any.new.example.com", backend.address, "")+
		namedService("moved", "legacy.example.com", "shop.example.com", backend.address, ""))
	proxy := startRigBehind(t, table).params.Listen.String()
	for i, c := range []struct{ host, location, want string }{
		{"shop.example.com", "https://sso.new.example.com/login?back=https://shop.new.example.com/", "https://sso.example.com/login?back=https://shop.new.example.com/"},
		{"shop.example.com", "http://sso.new.example.com:8080/x", "http://sso.example.com/x"},
		{"shop.example.com:8080", "http://sso.new.example.com/x", "http://sso.example.com:8080/x"},
		{"shop.example.com", "https://both.new.example.com/x", "https://both.new.example.com/x"},
		{"one.example.com", "https://both.new.example.com/x", "https://one.example.com/x"},
		{"two.example.com", "https://both.new.example.com/x", "https://two.example.com/x"},
		{"shop.example.com", "https://any.new.example.com/x", "https://any.new.example.com/x"},
		{"a.any.example.com", "https://any.new.example.com/x", "https://a.any.example.com/x"},
		{"shop.example.com", "https://shop.example.com/x", "https://shop.example.com/x"},
		{"legacy.example.com", "https://shop.example.com/x", "https://legacy.example.com/x"},
	} {
		answer := "HTTP/1.1 302 Found\r\nLocation: " + c.location + "\r\nContent-Length: 0\r\n\r\n"
		got, _ := askFor(t, proxy, backend, fmt.Sprint("other ", i), "GET /x HTTP/1.1\r\nHost: "+c.host+"\r\n", answer)
		require.Equal(t, c.want, got.value("Location"), "%+v", c)
	}
}

// TestOddHostsBelowAWildcard: nginx before 1.29 takes hosts that a browser would read as
// another one. No answer leads there, and new does not hear of them.
func TestOddHostsBelowAWildcard(t *testing.T) {
	t.Parallel()
	backend := startWire(t)
	table := loadTable(t, "services:"+namedService("any", "*.any.example.com", "any.new.example.com", backend.address, ""))
	proxy := startRigBehind(t, table).params.Listen.String()
	const own = "https://any.new.example.com/x"
	answer := "HTTP/1.1 302 Found\r\nLocation: " + own + "\r\nContent-Location: " + own + "\r\nAccess-Control-Allow-Origin: https://any.new.example.com\r\n" +
		"Link: <" + own + ">; rel=next\r\nSet-Cookie: a=b; Domain=any.new.example.com\r\nContent-Length: 0\r\n\r\n"
	for i, character := range []string{"#", "?", `\`, "@", ";", "&", "%2f", "<", `"`, ",", "|", "\xc3\xa9"} {
		host := "evil.example" + character + ".any.example.com"
		id := fmt.Sprint("odd-host-", i)
		backend.answer(id, answer)
		got, _ := dial(t, proxy).send(t, "GET /x HTTP/1.1\r\nHost: "+host+"\r\nX-Case: "+id+"\r\n\r\n")
		require.NotContains(t, strings.Join(got.Header, "\n"), "evil", host)
		for _, received := range backend.received(id) {
			require.NotContains(t, received.value("X-Forwarded-Host"), "evil", host)
		}
	}
}

// TestCookieDomains: the domain of a cookie above new_host becomes the domain that the
// old hosts share.
func TestCookieDomains(t *testing.T) {
	t.Parallel()
	backend := startWire(t)
	table := loadTable(t, "services:"+
		namedService("shop", "shop.example.com", "shop.eu.new.example.net", backend.address, "")+
		namedService("sso", "sso.example.com", "sso.eu.new.example.net", backend.address, "")+
		namedService("far", "far.example.org", "far.new.example.net", backend.address, "")+
		namedService("near", "near.example.io", "near.new.example.io", backend.address, "")+
		namedService("alone", "*.alone.example.com", "alone.platform.io", backend.address, ""))
	proxy := startRigBehind(t, table).params.Listen.String()
	for i, c := range []struct{ host, domain, want string }{
		{"shop.example.com", "shop.eu.new.example.net", "shop.example.com"},
		{"shop.example.com", ".eu.new.example.net", ".example.com"},
		{"shop.example.com", "new.example.net", "shop.example.com"}, // with far.example.org nothing is shared
		{"far.example.org", "new.example.net", "far.example.org"},
		{"near.example.io", "example.io", "example.io"},
		{"near.example.io", "new.example.io", "near.example.io"},
		{"a.alone.example.com", "platform.io", "alone.example.com"},
		{"shop.example.com", "net", "net"},
		{"shop.example.com", "other.net", "other.net"},
	} {
		answer := "HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Domain=" + c.domain + "; Path=/\r\nContent-Length: 0\r\n\r\n"
		got, _ := askFor(t, proxy, backend, fmt.Sprint("cookie ", i), "GET /x HTTP/1.1\r\nHost: "+c.host+"\r\n", answer)
		require.Equal(t, "a=b; Domain="+c.want+"; Path=/", got.value("Set-Cookie"), "%+v", c)
	}
}

package behavior

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/nginxgen"
)

// newAuthority returns an authority and a server certificate that it issued.
func newAuthority(t testing.TB, names ...string) (*testbed.Authority, *tls.Certificate) {
	authority, err := testbed.NewAuthority()
	require.NoError(t, err)
	certificate, err := authority.Server(names...)
	require.NoError(t, err)
	return authority, certificate
}

// startTLSRig is startRigAt on a system that trusts the authority.
func startTLSRig(t *testing.T, table *migration.Table, system *testbed.Authority, endpoints nginxgen.Endpoints) *rig {
	r := &rig{table: table, params: newParams(t)}
	require.NoError(t, os.WriteFile(r.params.CAFile, system.PEM(), 0o644))
	r.start(t, endpoints)
	return r
}

// tlsCase is one way in which new uses TLS.
type tlsCase struct {
	name    string
	backend testbed.Options
	tls     string // YAML of the service's tls
	side    string // that answers
	sni     string
	client  string
}

// tlsCases returns all of them. The machine of the proxy trusts system.
func tlsCases(t *testing.T, system *testbed.Authority) []tlsCase {
	must := func(certificate *tls.Certificate, err error) *tls.Certificate {
		require.NoError(t, err)
		return certificate
	}
	good, other := must(system.Server(newHost)), must(system.Server("other.example.com"))
	foreign, unknown := newAuthority(t, newHost)
	dir := t.TempDir()
	caFile, err := foreign.WriteCA(dir)
	require.NoError(t, err)
	certFile, keyFile, err := testbed.WritePair(dir, "client", must(foreign.Client("migration-proxy")))
	require.NoError(t, err)
	return []tlsCase{
		{"trusted", testbed.Options{Certificate: good, Hosts: []string{newHost}}, "", "new", newHost, ""},
		{"other-names-only", testbed.Options{Certificate: good, Hosts: []string{"other.example.com"}}, "", "old", "", ""},
		{"untrusted", testbed.Options{Certificate: unknown}, "", "old", "", ""},
		{"wrong-name", testbed.Options{Certificate: other}, "", "old", "", ""},
		{"expired", testbed.Options{Certificate: must(system.Expired(newHost))}, "", "old", "", ""},
		{"plain-http", testbed.Options{}, "", "old", "", ""},
		{"own-ca", testbed.Options{Certificate: unknown}, "ca_file: " + caFile, "new", newHost, ""},
		{"own-ca-only", testbed.Options{Certificate: good}, "ca_file: " + caFile, "old", "", ""},
		{"server-name", testbed.Options{Certificate: other}, "server_name: other.example.com", "new", "other.example.com", ""},
		{"server-name-wrong", testbed.Options{Certificate: good}, "server_name: other.example.com", "old", "", ""},
		{"unverified", testbed.Options{Certificate: unknown}, "verify: false", "new", newHost, ""},
		{"unverified-expired", testbed.Options{Certificate: must(foreign.Expired("x"))}, "verify: false", "new", newHost, ""},
		{"client-certificate", testbed.Options{Certificate: good, ClientCAs: foreign.Pool()},
			"client_cert_file: " + certFile + ", client_key_file: " + keyFile, "new", newHost, "migration-proxy"},
	}
}

// TestTLSToNew: a new that cannot prove its identity gets no request, so old
// gets it, with any method.
func TestTLSToNew(t *testing.T) {
	t.Parallel()
	system, _ := newAuthority(t, "unused.example.com")
	old := startBackend(t, testbed.Options{Name: "old"})
	cases := tlsCases(t, system)
	backends := map[string]*testbed.Backend{}
	text := "services:"
	for _, c := range cases {
		c.backend.Name = "new"
		backends[c.name] = startBackend(t, c.backend)
		text += serviceText(c.name, old.URL(), "https://"+backends[c.name].Addr(), allNew+"    tls: {"+c.tls+"}\n")
	}
	table := loadTable(t, text)
	proxy := startTLSRig(t, table, system, literalEndpoints(table)).params.Listen.String()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for _, method := range []string{"GET", "POST", "POST"} { // the last one on an idle connection
				before := old.Total() + backends[c.name].Total()
				echo := askEcho(t, proxy, method+" /x HTTP/1.1\r\nHost: "+c.name+".example.com\r\nContent-Length: 5\r\n\r\nhello")
				require.Equal(t, []any{c.side, int64(5)}, []any{echo.Backend, echo.BodyBytes}, method)
				require.Equal(t, before+1, old.Total()+backends[c.name].Total(), method)
				if c.side == "new" {
					require.Equal(t, []string{newHost, c.sni, c.client}, []string{echo.Host, echo.SNI, echo.Client})
				}
			}
		})
	}
}

// TestClientCertificateMissing: with TLS 1.3 a server rejects a client only
// after the handshake of the client, so nginx cannot know that the request was
// not read, and does not repeat a POST.
func TestClientCertificateMissing(t *testing.T) {
	t.Parallel()
	system, certificate := newAuthority(t, newHost)
	old := startBackend(t, testbed.Options{Name: "old"})
	new := startBackend(t, testbed.Options{Name: "new", Certificate: certificate, ClientCAs: system.Pool()})
	table := loadTable(t, "services:"+serviceText("app", old.URL(), new.URL(), allNew))
	proxy := startTLSRig(t, table, system, literalEndpoints(table)).params.Listen.String()
	require.Equal(t, "old", askEcho(t, proxy, "GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n").Backend)
	answer, _ := dial(t, proxy).send(t, "POST / HTTP/1.1\r\nHost: app.example.com\r\nContent-Length: 0\r\n\r\n")
	require.Equal(t, "502", strings.Fields(answer.Start)[1])
	require.Equal(t, []int{1, 0}, []int{old.Total(), new.Total()})
}

// TestTLSToOld: old gets the name that the client used, also in SNI.
func TestTLSToOld(t *testing.T) {
	t.Parallel()
	system, certificate := newAuthority(t, "app.example.com")
	old := startBackend(t, testbed.Options{Name: "old", Certificate: certificate, Hosts: []string{"app.example.com"}})
	table := loadTable(t, "services:"+serviceText("app", "https://old.internal", "http://new.internal", ""))
	r := startTLSRig(t, table, system, nginxgen.Endpoints{table.Service("app").OldBackend: {netip.MustParseAddrPort(old.Addr())}})
	echo := askEcho(t, r.params.Listen.String(), "POST / HTTP/1.1\r\nHost: app.example.com\r\nContent-Length: 0\r\n\r\n")
	require.Equal(t, []string{"app.example.com", "app.example.com"}, []string{echo.Host, echo.SNI})
}

// TestOldByManyNames: a TLS connection to old is for one name. A server may
// answer 421 to a request for another name on it.
func TestOldByManyNames(t *testing.T) {
	t.Parallel()
	system, certificate := newAuthority(t, "*.example.com")
	old := startBackend(t, testbed.Options{Name: "old", Certificate: certificate})
	table := loadTable(t, fmt.Sprintf(`services:
  - {name: a, old_host: "*.example.com", old_backend: "https://%[1]s", new_host: n.example.com, new_backend: "https://%[1]s"}`, old.Addr()))
	proxy := startTLSRig(t, table, system, literalEndpoints(table)).params.Listen.String()
	for _, host := range []string{"a.example.com", "b.example.com", "b.example.com", "a.example.com"} {
		echo := askEcho(t, proxy, "GET / HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
		require.Equal(t, []string{host, host}, []string{echo.Host, echo.SNI})
	}
}

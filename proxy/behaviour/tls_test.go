package behaviour

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/nginxgen"
)

// trusted is an authority and a certificate of it.
func trusted(t testing.TB, names ...string) (*testbed.Authority, *tls.Certificate) {
	authority, err := testbed.NewAuthority()
	require.NoError(t, err)
	certificate, err := authority.Server(names...)
	require.NoError(t, err)
	return authority, certificate
}

// startTLSRig is startRigAt where the authority is what the system trusts.
func startTLSRig(t *testing.T, table *migration.Table, system *testbed.Authority, endpoints nginxgen.Endpoints) *rig {
	r := &rig{table: table, params: newParams(t)}
	require.NoError(t, os.WriteFile(r.params.CAFile, system.PEM(), 0o644))
	r.start(t, endpoints)
	return r
}

// secured is one way in which new is https.
type secured struct {
	name    string
	backend testbed.Options
	tls     string // YAML of the service's tls
	side    string // who answers
	sni     string
	client  string
}

// securedWays are all of them; system is what the proxy's machine trusts.
func securedWays(t *testing.T, system *testbed.Authority) []secured {
	made := func(certificate *tls.Certificate, err error) *tls.Certificate {
		require.NoError(t, err)
		return certificate
	}
	good, other := made(system.Server(newHost)), made(system.Server("other.example.com"))
	foreign, unknown := trusted(t, newHost)
	dir := t.TempDir()
	caFile, err := foreign.WriteCA(dir)
	require.NoError(t, err)
	certFile, keyFile, err := testbed.WritePair(dir, "client", made(foreign.Client("migration-proxy")))
	require.NoError(t, err)
	return []secured{
		{"trusted", testbed.Options{Certificate: good, Hosts: []string{newHost}}, "", "new", newHost, ""},
		{"other-names-only", testbed.Options{Certificate: good, Hosts: []string{"other.example.com"}}, "", "old", "", ""},
		{"untrusted", testbed.Options{Certificate: unknown}, "", "old", "", ""},
		{"wrong-name", testbed.Options{Certificate: other}, "", "old", "", ""},
		{"expired", testbed.Options{Certificate: made(system.Expired(newHost))}, "", "old", "", ""},
		{"plain-http", testbed.Options{}, "", "old", "", ""},
		{"own-ca", testbed.Options{Certificate: unknown}, "ca_file: " + caFile, "new", newHost, ""},
		{"own-ca-only", testbed.Options{Certificate: good}, "ca_file: " + caFile, "old", "", ""},
		{"server-name", testbed.Options{Certificate: other}, "server_name: other.example.com", "new", "other.example.com", ""},
		{"server-name-wrong", testbed.Options{Certificate: good}, "server_name: other.example.com", "old", "", ""},
		{"unverified", testbed.Options{Certificate: unknown}, "verify: false", "new", newHost, ""},
		{"unverified-expired", testbed.Options{Certificate: made(foreign.Expired("x"))}, "verify: false", "new", newHost, ""},
		{"client-certificate", testbed.Options{Certificate: good, ClientCAs: foreign.Pool()},
			"client_cert_file: " + certFile + ", client_key_file: " + keyFile, "new", newHost, "migration-proxy"},
	}
}

// TestTLSTowardsNew: a new that cannot prove who it is is not spoken to, and
// as it saw nothing, old is asked, whatever the method.
func TestTLSTowardsNew(t *testing.T) {
	t.Parallel()
	system, _ := trusted(t, "unused.example.com")
	old := startBackend(t, testbed.Options{Name: "old"})
	ways := securedWays(t, system)
	backends := map[string]*testbed.Backend{}
	text := "services:"
	for _, way := range ways {
		way.backend.Name = "new"
		backends[way.name] = startBackend(t, way.backend)
		text += fmt.Sprintf(`
  - name: %[1]s
    old_host: %[1]s.example.com
    old_backend: %[2]s
    new_host: %[3]s
    new_backend: https://%[4]s
    tls: {%[5]s}
    migration: {enabled: true, percentage: 100}`, way.name, old.URL(), newHost, backends[way.name].Addr(), way.tls)
	}
	table, err := config.Load("tls.yaml", []byte(text))
	require.NoError(t, err)
	proxy := startTLSRig(t, table, system, literalEndpoints(table)).params.Listen.String()
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			for _, method := range []string{"GET", "POST", "POST"} { // the last on a warm connection
				before := old.Total() + backends[way.name].Total()
				echo := askEcho(t, proxy, method+" /x HTTP/1.1\r\nHost: "+way.name+".example.com\r\nContent-Length: 5\r\n\r\nhello")
				require.Equal(t, []any{way.side, int64(5)}, []any{echo.Backend, echo.BodyBytes}, method)
				require.Equal(t, before+1, old.Total()+backends[way.name].Total(), method)
				if way.side == "new" {
					require.Equal(t, []string{newHost, way.sni, way.client}, []string{echo.Host, echo.SNI, echo.Client})
				}
			}
		})
	}
}

// TestClientCertificateMissing: with TLS 1.3 a server refuses a client only
// after the client's handshake is over, so nginx cannot know that the request
// was not read; a POST is not repeated.
func TestClientCertificateMissing(t *testing.T) {
	t.Parallel()
	system, certificate := trusted(t, newHost)
	old := startBackend(t, testbed.Options{Name: "old"})
	new := startBackend(t, testbed.Options{Name: "new", Certificate: certificate, ClientCAs: system.Pool()})
	table, err := config.Load("tls.yaml", []byte(`
services:
  - {name: app, old_host: app.example.com, old_backend: "`+old.URL()+`", new_host: `+newHost+`, new_backend: "`+new.URL()+`", migration: {enabled: true, percentage: 100}}`))
	require.NoError(t, err)
	proxy := startTLSRig(t, table, system, literalEndpoints(table)).params.Listen.String()
	require.Equal(t, "old", askEcho(t, proxy, "GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n").Backend)
	answer, _ := dial(t, proxy).ask(t, "POST / HTTP/1.1\r\nHost: app.example.com\r\nContent-Length: 0\r\n\r\n")
	require.Equal(t, "502", strings.Fields(answer.Start)[1])
	require.Equal(t, []int{1, 0}, []int{old.Total(), new.Total()})
}

// TestTLSTowardsOld: old is called by the name that the client called, in SNI
// too.
func TestTLSTowardsOld(t *testing.T) {
	t.Parallel()
	system, certificate := trusted(t, "app.example.com")
	old := startBackend(t, testbed.Options{Name: "old", Certificate: certificate, Hosts: []string{"app.example.com"}})
	table, err := config.Load("tls.yaml", []byte(`
services:
  - {name: app, old_host: app.example.com, old_backend: "https://old.internal", new_host: `+newHost+`, new_backend: "http://new.internal"}`))
	require.NoError(t, err)
	r := startTLSRig(t, table, system, nginxgen.Endpoints{table.Service("app").OldBackend: {netip.MustParseAddrPort(old.Addr())}})
	echo := askEcho(t, r.params.Listen.String(), "POST / HTTP/1.1\r\nHost: app.example.com\r\nContent-Length: 0\r\n\r\n")
	require.Equal(t, []string{"app.example.com", "app.example.com"}, []string{echo.Host, echo.SNI})
}

// TestOldByManyNames: a connection to an old that is https is for one name; a
// server may answer 421 when it is asked for another on it.
func TestOldByManyNames(t *testing.T) {
	t.Parallel()
	system, certificate := trusted(t, "*.example.com")
	old := startBackend(t, testbed.Options{Name: "old", Certificate: certificate})
	table, err := config.Load("names.yaml", []byte(fmt.Sprintf(`services:
  - {name: a, old_host: "*.example.com", old_backend: "https://%[1]s", new_host: n.example.com, new_backend: "https://%[1]s"}`, old.Addr())))
	require.NoError(t, err)
	proxy := startTLSRig(t, table, system, literalEndpoints(table)).params.Listen.String()
	for _, host := range []string{"a.example.com", "b.example.com", "b.example.com", "a.example.com"} {
		echo := askEcho(t, proxy, "GET / HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
		require.Equal(t, []string{host, host}, []string{echo.Host, echo.SNI})
	}
}

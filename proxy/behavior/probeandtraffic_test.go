package behavior

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy/health"
)

// issuer is an authority, or a certificate below one.
type issuer struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

// sign makes a certificate for a public key; a nil issuer signs with its own key.
func (i *issuer) sign(t testing.TB, template x509.Certificate, public, own any) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<60))
	require.NoError(t, err)
	template.SerialNumber = serial
	if template.NotBefore.IsZero() {
		template.NotBefore = time.Now().Add(-time.Hour)
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(time.Hour)
	}
	parent, signer := &template, own
	if i != nil {
		parent, signer = i.certificate, i.key
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, parent, public, signer)
	require.NoError(t, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return certificate
}

func (i *issuer) authority(t testing.TB, name string, more x509.Certificate) *issuer {
	key := newKey(t)
	more.Subject = pkix.Name{CommonName: name}
	more.IsCA, more.BasicConstraintsValid, more.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageDigitalSignature
	return &issuer{i.sign(t, more, &key.PublicKey, key), key}
}

func pemOf(certificates ...*x509.Certificate) []byte {
	var text []byte
	for _, certificate := range certificates {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})...)
	}
	return text
}

// presented is what a server shows, and what the proxy trusts.
type presented struct {
	config *tls.Config
	ca     []byte
	client *tls.Certificate // of the proxy
}

// certificateCase has a name to check (tls.server_name), a certificate, and what is
// expected of both probe and traffic.
type certificateCase struct {
	what   string
	name   string
	make   func(t testing.TB) presented
	accept bool
}

// leafCase has a certificate that a trusted root signed.
func leafCase(what, name string, template x509.Certificate, accept bool) certificateCase {
	return certificateCase{what, name, func(t testing.TB) presented {
		var none *issuer
		root := none.authority(t, "root", x509.Certificate{})
		return root.serve(t, template)
	}, accept}
}

// serve presents a certificate of the issuer, which is trusted.
func (i *issuer) serve(t testing.TB, template x509.Certificate, between ...*x509.Certificate) presented {
	key := newKey(t)
	leaf := i.sign(t, template, &key.PublicKey, key)
	shown := tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}
	for _, certificate := range between {
		shown.Certificate = append(shown.Certificate, certificate.Raw)
	}
	return presented{config: &tls.Config{Certificates: []tls.Certificate{shown}}, ca: pemOf(i.certificate)}
}

const shop = "shop.new.example.com"

func named(dnsNames ...string) x509.Certificate { return x509.Certificate{DNSNames: dnsNames} }

func commonNames(names ...string) pkix.Name {
	var subject pkix.Name
	for _, name := range names {
		subject.ExtraNames = append(subject.ExtraNames, pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: name})
	}
	return subject
}

func nameCases() []certificateCase {
	loopback := []net.IP{net.IPv4(127, 0, 0, 1)}
	return []certificateCase{
		leafCase("the name", shop, named(shop), true),
		leafCase("another name", shop, named("other.example.com"), false),
		leafCase("one of two", shop, named("other.example.com", shop), true),
		leafCase("upper case", shop, named("SHOP.New.example.com"), true),
		leafCase("final dot", shop, named(shop+"."), false),
		leafCase("wildcard", shop, named("*.new.example.com"), true),
		leafCase("wildcard for two labels", shop, named("*.example.com"), false),
		leafCase("wildcard of a domain", "new.com", named("*.com"), false),
		leafCase("wildcard inside", shop, named("shop.*.example.com"), false),
		leafCase("a part and a wildcard", shop, named("sh*.new.example.com"), true),
		leafCase("a wildcard and a part", shop, named("*op.new.example.com"), true),
		leafCase("wildcard between parts", shop, named("s*p.new.example.com"), false),
		leafCase("partial wildcard for an encoded label", "xn--shp-sna.new.example.com", named("xn*.new.example.com"), false),
		leafCase("wildcard for an encoded label", "xn--shp-sna.new.example.com", named("*.new.example.com"), true),
		leafCase("underscore", "my_shop.new.example.com", named("my_shop.new.example.com"), true),
		leafCase("underscore and wildcard", "my_shop.new.example.com", named("*.new.example.com"), false),
		leafCase("underscore in the domain", "shop.my_new.example.com", named("*.my_new.example.com"), false),
		leafCase("common name", shop, x509.Certificate{Subject: commonNames(shop)}, true),
		leafCase("common name with wildcard", shop, x509.Certificate{Subject: commonNames("*.new.example.com")}, true),
		leafCase("the second common name", shop, x509.Certificate{Subject: commonNames("Shop", shop)}, true),
		leafCase("the first common name", shop, x509.Certificate{Subject: commonNames(shop, "Shop")}, true),
		leafCase("common name beside another name", shop, x509.Certificate{Subject: commonNames(shop), DNSNames: []string{"other.example.com"}}, false),
		leafCase("common name beside an address", shop, x509.Certificate{Subject: commonNames(shop), IPAddresses: loopback}, true),
		leafCase("common name beside a mail address", shop, x509.Certificate{Subject: commonNames(shop), EmailAddresses: []string{"a@example.com"}}, true),
		leafCase("no name", shop, x509.Certificate{}, false),
		leafCase("address", "127.0.0.1", x509.Certificate{IPAddresses: loopback}, false),
		leafCase("address as a name", "127.0.0.1", named("127.0.0.1"), true),
		leafCase("address as a common name", "127.0.0.1", x509.Certificate{Subject: commonNames("127.0.0.1")}, true),
		leafCase("address, also as a common name", "127.0.0.1", x509.Certificate{Subject: commonNames("127.0.0.1"), IPAddresses: loopback}, true),
		leafCase("expired", shop, x509.Certificate{DNSNames: []string{shop}, NotAfter: time.Now().Add(-time.Minute)}, false),
		leafCase("not yet valid", shop, x509.Certificate{DNSNames: []string{shop}, NotBefore: time.Now().Add(30 * time.Minute)}, false),
		leafCase("for clients only", shop, x509.Certificate{DNSNames: []string{shop}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, false),
		leafCase("for servers", shop, x509.Certificate{DNSNames: []string{shop}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, true),
	}
}

// chainCase has n certificates between the root and the server's; ca selects the
// trusted ones from root and between.
func chainCase(what string, n int, send bool, ca func(t testing.TB, root *x509.Certificate, between []*x509.Certificate, leaf []byte) []byte, accept bool) certificateCase {
	return certificateCase{what, shop, func(t testing.TB) presented {
		var last *issuer
		last = last.authority(t, "root", x509.Certificate{})
		root, between := last.certificate, []*x509.Certificate{}
		for i := range n {
			last = last.authority(t, fmt.Sprintf("between %d", i), x509.Certificate{})
			between = append([]*x509.Certificate{last.certificate}, between...)
		}
		sent := between
		if !send {
			sent = nil
		}
		p := last.serve(t, named(shop), sent...)
		leaf := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.config.Certificates[0].Certificate[0]})
		p.ca = ca(t, root, between, leaf)
		return p
	}, accept}
}

func chainCases() []certificateCase {
	type list = []*x509.Certificate
	root := func(_ testing.TB, root *x509.Certificate, _ list, _ []byte) []byte { return pemOf(root) }
	lower := func(_ testing.TB, _ *x509.Certificate, between list, _ []byte) []byte { return pemOf(between...) }
	both := func(_ testing.TB, root *x509.Certificate, between list, _ []byte) []byte {
		return pemOf(append(between, root)...)
	}
	leaf := func(_ testing.TB, _ *x509.Certificate, _ list, leaf []byte) []byte { return leaf }
	foreign := func(t testing.TB, _ *x509.Certificate, _ list, _ []byte) []byte {
		var none *issuer
		return pemOf(none.authority(t, "root", x509.Certificate{}).certificate)
	}
	return []certificateCase{
		chainCase("two in the chain, sent", 1, true, root, true),
		chainCase("two in the chain, not sent", 1, false, root, false),
		chainCase("two in the chain, not sent, both trusted", 1, false, both, true),
		chainCase("only the lower one trusted", 1, true, lower, false),
		chainCase("only the certificate itself trusted", 0, true, leaf, false),
		chainCase("another root of the same name", 0, true, foreign, false),
		chainCase("five between", 5, true, root, true),
		chainCase("seven between", 7, true, root, false),
		{"signed by itself, trusted", shop, func(t testing.TB) presented {
			var none *issuer
			key := newKey(t)
			own := none.sign(t, named(shop), &key.PublicKey, key)
			shown := tls.Certificate{Certificate: [][]byte{own.Raw}, PrivateKey: key}
			return presented{config: &tls.Config{Certificates: []tls.Certificate{shown}}, ca: pemOf(own)}
		}, true},
		{"the root allows other names only", shop, func(t testing.TB) presented {
			var none *issuer
			limited := none.authority(t, "root", x509.Certificate{PermittedDNSDomainsCritical: true, PermittedDNSDomains: []string{"other.example.com"}})
			return limited.serve(t, named(shop))
		}, false},
	}
}

// protocolCase changes the server's TLS settings.
func protocolCase(what string, change func(t testing.TB, p *presented, root *issuer), accept bool) certificateCase {
	return certificateCase{what, shop, func(t testing.TB) presented {
		var none *issuer
		root := none.authority(t, "root", x509.Certificate{})
		p := root.serve(t, named(shop))
		change(t, &p, root)
		return p
	}, accept}
}

func clientOf(t testing.TB, authority *issuer) *tls.Certificate {
	key := newKey(t)
	certificate := authority.sign(t, x509.Certificate{Subject: pkix.Name{CommonName: "proxy"}}, &key.PublicKey, key)
	return &tls.Certificate{Certificate: [][]byte{certificate.Raw}, PrivateKey: key}
}

// requireClient makes the server ask for a client certificate of the authority.
func requireClient(p *presented, authority *issuer, version uint16) {
	p.config.ClientAuth, p.config.MaxVersion, p.config.ClientCAs = tls.RequireAndVerifyClientCert, version, x509.NewCertPool()
	p.config.ClientCAs.AddCert(authority.certificate)
}

func protocolCases() []certificateCase {
	cases := []certificateCase{
		protocolCase("TLS 1.1", func(_ testing.TB, p *presented, _ *issuer) {
			p.config.MinVersion, p.config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		}, false),
		protocolCase("TLS 1.3 only", func(_ testing.TB, p *presented, _ *issuer) { p.config.MinVersion = tls.VersionTLS13 }, true),
		protocolCase("RSA key exchange", func(t testing.TB, p *presented, root *issuer) {
			key, err := rsa.GenerateKey(rand.Reader, 2048)
			require.NoError(t, err)
			leaf := root.sign(t, named(shop), &key.PublicKey, key)
			p.config = &tls.Config{
				Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}},
				MaxVersion:   tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256},
			}
		}, true),
	}
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		cases = append(cases,
			protocolCase("no client certificate, "+name, func(_ testing.TB, p *presented, root *issuer) { requireClient(p, root, version) }, false),
			protocolCase("client certificate, "+name, func(t testing.TB, p *presented, root *issuer) {
				requireClient(p, root, version)
				p.client = clientOf(t, root)
			}, true),
			protocolCase("client certificate of another authority, "+name, func(t testing.TB, p *presented, root *issuer) {
				requireClient(p, root, version)
				var none *issuer
				p.client = clientOf(t, none.authority(t, "other", x509.Certificate{}))
			}, false),
			protocolCase("client certificate that no named authority signed, "+name, func(t testing.TB, p *presented, root *issuer) {
				requireClient(p, root, version)
				p.config.ClientAuth = tls.RequireAnyClientCert
				var none *issuer
				p.client = clientOf(t, none.authority(t, "other", x509.Certificate{}))
			}, true),
			protocolCase("client certificate not needed, "+name, func(_ testing.TB, p *presented, root *issuer) {
				requireClient(p, root, version)
				p.config.ClientAuth = tls.RequestClientCert
			}, true))
	}
	return cases
}

// TestProbesAndTraffic: a probe, with and without a path, accepts new exactly where
// nginx does. The health check must not say that new is well while all traffic fails.
func TestProbesAndTraffic(t *testing.T) {
	t.Parallel()
	old := startBackend(t, testbed.Options{Name: "old"})
	var cases []certificateCase
	for _, group := range [][]certificateCase{nameCases(), chainCases(), protocolCases()} {
		cases = append(cases, group...)
	}
	text := "services:"
	for i, c := range cases {
		text += c.service(t, i, old.URL())
	}
	table := loadTable(t, text)
	rig := startRig(t, table, nil)
	probes := startProbes(t, table)
	for i, c := range cases {
		t.Run(c.what, func(t *testing.T) {
			want := map[bool]string{true: "new", false: "old"}[c.accept]
			require.Equal(t, want, sideOf(t, rig, fmt.Sprintf("path%d", i)), "nginx")
			for _, kind := range []string{"path", "bare"} {
				got := probes.health(t, migration.Name(fmt.Sprintf("%s%d", kind, i)))
				require.Equal(t, map[bool]fallback.Health{true: fallback.Healthy, false: fallback.Unhealthy}[c.accept], got.New, "%s: %s", kind, got.Error)
			}
		})
	}
}

func sideOf(t *testing.T, rig *rig, name string) string {
	answer, _ := dial(t, rig.params.Listen.String()).send(t, "GET / HTTP/1.1\r\nHost: "+name+".example.com\r\nConnection: close\r\n\r\n")
	if answer.value("Side") == "new" {
		return "new"
	}
	return parseEcho(t, answer).Backend
}

// service starts new, and gives the config of two services: with a path to probe,
// and without.
func (c certificateCase) service(t *testing.T, i int, old string) string {
	p := c.make(t)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Side", "new") }))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	server.TLS = p.config
	server.StartTLS()
	t.Cleanup(server.Close)
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o755))
	ca := filepath.Join(dir, "ca.pem")
	require.NoError(t, os.WriteFile(ca, p.ca, 0o644))
	settings := fmt.Sprintf("    tls: {ca_file: %s, server_name: %q", ca, c.name)
	if p.client != nil {
		cert, key, err := testbed.WritePair(dir, "client", p.client)
		require.NoError(t, err)
		settings += fmt.Sprintf(", client_cert_file: %s, client_key_file: %s", cert, key)
	}
	settings += "}\n" + allNew
	backend := "https://" + server.Listener.Addr().String()
	const check = "    health_check: {path: /, interval: 50ms, timeout: 1s, healthy: 1, unhealthy: 1}\n"
	return serviceText(fmt.Sprintf("path%d", i), old, backend, settings+check) +
		serviceText(fmt.Sprintf("bare%d", i), old, backend, settings)
}

// runningProbes are the probes of a table.
type runningProbes struct{ checker *health.Checker }

// Addresses implements health.Resolver: all backends are addresses.
func (runningProbes) Addresses(backend migration.Backend) []netip.AddrPort {
	addr, _ := backend.Addr()
	return []netip.AddrPort{netip.AddrPortFrom(addr, backend.Port)}
}

// ProbesChanged implements health.Observer.
func (runningProbes) ProbesChanged(migration.Name) {}

func startProbes(t *testing.T, table *migration.Table) runningProbes {
	p := runningProbes{health.New(health.Options{Resolver: runningProbes{}, Observer: runningProbes{}})}
	var targets []health.Target
	for _, s := range table.Services() {
		for _, target := range health.TargetsOf(&s) {
			target.Check.Interval, target.Check.Healthy, target.Check.Unhealthy = 50*time.Millisecond, 1, 1
			targets = append(targets, target)
		}
	}
	p.checker.SetTargets(targets)
	for _, s := range table.Services() {
		p.checker.SetDemand(s.Name, true)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); p.checker.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return p
}

func (p runningProbes) health(t *testing.T, name migration.Name) fallback.Probes {
	require.Eventually(t, func() bool { return p.checker.Probes(name).New != fallback.Unknown }, patience, quick)
	return p.checker.Probes(name)
}

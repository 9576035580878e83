package health

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/migration-proxy/migration-proxy/migration"
)

// probeOnce probes once within a second.
func probeOnce(t *testing.T, spec Spec, addr string) error {
	t.Helper()
	return probeWith(t, newProber("", nil), spec, addr)
}

func probeWith(t *testing.T, p *prober, spec Spec, addr string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	return p.probe(ctx, spec, netip.MustParseAddrPort(addr))
}

// failureOf gives the failure that a probe blames on the other side.
func failureOf(t *testing.T, err error) fallback.Failure {
	t.Helper()
	var failure *failedProbe
	require.ErrorAs(t, err, &failure)
	return failure.kind
}

func plain(path string) Spec {
	return Spec{
		Backend: migration.Backend{Scheme: migration.HTTP}, Host: "api.new",
		Check: migration.HealthCheck{Path: path, StatusMin: 200, StatusMax: 399},
	}
}

func secure(path, caFile string) Spec {
	spec := plain(path)
	spec.Backend.Scheme, spec.ServerName = migration.HTTPS, "sni.new"
	spec.TLS = migration.TLS{Verify: true, CAFile: caFile}
	return spec
}

func start(t *testing.T, options testbed.Options) *testbed.Backend {
	t.Helper()
	backend, err := testbed.Start(options)
	require.NoError(t, err)
	t.Cleanup(backend.Kill)
	return backend
}

func TestProbeHTTP(t *testing.T) {
	t.Parallel()
	backend := start(t, testbed.Options{})
	for path, want := range map[string]fallback.Failure{
		"/healthz?deep=%2F1": "",
		"/do/status/204":     "",
		"/do/redirect/path":  "", // a redirect is a 302, and not followed
		"/do/hints":          "", // 103 first
		"/do/big/10000000":   "", // nobody reads the body
		"/do/slow/3":         "",
		"/do/reset-body":     "",
		"/do/status/500":     fallback.FailureStatus,
		"/do/status/404":     fallback.FailureStatus,
		"/do/close":          fallback.FailureReset,
		"/do/reset":          fallback.FailureReset,
		"/do/hang":           fallback.FailureTimeout,
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			err := probeOnce(t, plain(path), backend.Addr())
			if want == "" {
				require.NoError(t, err)
				return
			}
			require.Equal(t, want, failureOf(t, err))
		})
	}
}

func TestProbeSendsWhatTrafficSends(t *testing.T) {
	t.Parallel()
	authority, err := testbed.NewAuthority()
	require.NoError(t, err)
	certificate, err := authority.Server("sni.new")
	require.NoError(t, err)
	client, err := authority.Client("proxy")
	require.NoError(t, err)
	dir := t.TempDir()
	caFile, err := authority.WriteCA(dir)
	require.NoError(t, err)
	backend := start(t, testbed.Options{Certificate: certificate, ClientCAs: authority.Pool()})
	spec := secure("/healthz?deep=%2F1", caFile)
	require.Error(t, probeOnce(t, spec, backend.Addr()), "without the client certificate")
	spec.TLS.ClientCertFile, spec.TLS.ClientKeyFile, err = testbed.WritePair(dir, "client", client)
	require.NoError(t, err)

	require.NoError(t, probeOnce(t, spec, backend.Addr()))
	requests := backend.Requests()
	require.Len(t, requests, 1)
	require.Equal(t, "GET", requests[0].Method)
	require.Equal(t, "/healthz?deep=%2F1", requests[0].Target)
	require.Equal(t, "api.new", requests[0].Host)
	require.Equal(t, "sni.new", requests[0].SNI)
	require.Equal(t, "proxy", requests[0].Client)

	spec.TLS.ClientKeyFile = filepath.Join(dir, "gone.pem")
	err = probeOnce(t, spec, backend.Addr())
	require.ErrorContains(t, err, "not probed: client certificate")
	var failure *failedProbe
	require.NotErrorAs(t, err, &failure, "an unreadable file of ours is not new's failure")
}

func TestProbeConnectOnly(t *testing.T) {
	t.Parallel()
	backend := start(t, testbed.Options{})
	require.NoError(t, probeOnce(t, plain(""), backend.Addr()))
	backend.Kill()
	require.Equal(t, fallback.FailureConnect, failureOf(t, probeOnce(t, plain(""), backend.Addr())))
	require.Zero(t, backend.Total())
	require.Equal(t, fallback.FailureTLS, failureOf(t, probeOnce(t, secure("", ""), start(t, testbed.Options{}).Addr())), "plain HTTP is no TLS")
}

// TestProbeTimesOut: a side that accepts and says nothing.
func TestProbeTimesOut(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	require.Equal(t, fallback.FailureTimeout, failureOf(t, probeOnce(t, plain("/"), listener.Addr().String())))
	require.Equal(t, fallback.FailureTimeout, failureOf(t, probeOnce(t, secure("", ""), listener.Addr().String())))
}

func TestProbeRefusesEndlessHeader(t *testing.T) {
	t.Parallel()
	backend := start(t, testbed.Options{})
	backend.Answer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_, err = conn.Write([]byte("HTTP/1.1 200 OK\r\n"))
		for err == nil {
			_, err = conn.Write([]byte("X-Again: and again\r\n"))
		}
	}))
	require.Equal(t, fallback.FailureReset, failureOf(t, probeOnce(t, plain("/"), backend.Addr())))
}

func TestProbeVerifiesCertificates(t *testing.T) {
	t.Parallel()
	now := time.Now()
	cases := []struct {
		name     string
		template x509.Certificate
		trusted  bool
		verify   bool
		well     bool
	}{
		{"good", x509.Certificate{DNSNames: []string{"sni.new"}}, true, true, true},
		{"wildcard of a whole domain, as nginx refuses it", x509.Certificate{DNSNames: []string{"*.new"}}, true, true, false},
		{"wrong name", x509.Certificate{DNSNames: []string{"other.new"}}, true, true, false},
		{"common name only, as nginx takes it", x509.Certificate{Subject: pkix.Name{CommonName: "sni.new"}}, true, true, true},
		{"common name beside other names", x509.Certificate{Subject: pkix.Name{CommonName: "sni.new"}, DNSNames: []string{"other.new"}}, true, true, false},
		{"expired", x509.Certificate{DNSNames: []string{"sni.new"}, NotAfter: now.Add(-time.Minute)}, true, true, false},
		{"not yet", x509.Certificate{DNSNames: []string{"sni.new"}, NotBefore: now.Add(time.Hour)}, true, true, false},
		{"untrusted", x509.Certificate{DNSNames: []string{"sni.new"}}, false, true, false},
		{"untrusted and expired, not verified", x509.Certificate{NotAfter: now.Add(-time.Minute)}, false, false, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			certificate := selfSigned(t, c.template)
			backend := start(t, testbed.Options{Certificate: certificate})
			spec := secure("/healthz", "")
			spec.TLS.Verify = c.verify
			if c.trusted {
				spec.TLS.CAFile, _, _ = testbed.WritePair(t.TempDir(), "ca", certificate)
			}
			err := probeOnce(t, spec, backend.Addr())
			if c.well {
				require.NoError(t, err)
				return
			}
			require.Equal(t, fallback.FailureTLS, failureOf(t, err))
			require.Zero(t, backend.Total(), "nothing is sent to a stranger")
		})
	}
}

// selfSigned makes a certificate that vouches for itself.
func selfSigned(t *testing.T, template x509.Certificate) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template.SerialNumber = big.NewInt(1)
	if template.NotBefore.IsZero() {
		template.NotBefore = time.Now().Add(-time.Hour)
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(24 * time.Hour)
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	require.NoError(t, err)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// TestProbeReloadsCertificateFiles: a new authority is trusted as soon as its file is
// there, and a file that is broken or gone changes nothing.
func TestProbeReloadsCertificateFiles(t *testing.T) {
	t.Parallel()
	first, second := selfSigned(t, x509.Certificate{DNSNames: []string{"sni.new"}}), selfSigned(t, x509.Certificate{DNSNames: []string{"sni.new"}})
	dir := t.TempDir()
	file, _, err := testbed.WritePair(dir, "ca", first)
	require.NoError(t, err)
	backend := start(t, testbed.Options{Certificate: second})
	p, spec := newProber(file, nil), secure("/", "") // as roots, for the services without a file
	require.Equal(t, fallback.FailureTLS, failureOf(t, probeWith(t, p, spec, backend.Addr())))

	next, _, err := testbed.WritePair(dir, "next", second)
	require.NoError(t, err)
	require.NoError(t, os.Rename(next, file))
	require.NoError(t, probeWith(t, p, spec, backend.Addr()))
	require.NoError(t, os.WriteFile(file, []byte("broken"), 0o600))
	require.NoError(t, probeWith(t, p, spec, backend.Addr()))
	require.NoError(t, os.Remove(file))
	require.NoError(t, probeWith(t, p, spec, backend.Addr()))
	require.ErrorContains(t, probeWith(t, newProber(file, nil), spec, backend.Addr()), "not probed: trusted certificates")
}

func TestProbeFailureKinds(t *testing.T) {
	t.Parallel()
	live := t.Context()
	stopped, stop := context.WithCancel(live)
	stop()
	late, cancel := context.WithTimeout(live, 0)
	defer cancel()
	var failure *failedProbe
	require.NotErrorAs(t, classify(live, fallback.FailureConnect, &net.OpError{Op: "dial", Err: os.NewSyscallError("socket", syscall.EMFILE)}), &failure)
	require.NotErrorAs(t, classify(stopped, fallback.FailureReset, net.ErrClosed), &failure)
	require.Equal(t, fallback.FailureConnect, failureOf(t, classify(late, fallback.FailureConnect, os.ErrDeadlineExceeded)))
	require.Equal(t, fallback.FailureTimeout, failureOf(t, classify(late, fallback.FailureTLS, net.ErrClosed)))
	require.Equal(t, fallback.FailureReset, failureOf(t, classify(live, fallback.FailureReset, net.ErrClosed)))
}

// TestProbeEndsWithItsContext: a probe under way does not hold up the end, and blames nobody.
func TestProbeEndsWithItsContext(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	backend := start(t, testbed.Options{})
	backend.Answer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		testbed.Do("hang").ServeHTTP(w, r)
	}))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() {
		<-arrived
		cancel()
	}()
	err := newProber("", nil).probe(ctx, plain("/"), netip.MustParseAddrPort(backend.Addr()))
	require.ErrorContains(t, err, "not probed")
	require.Equal(t, context.Canceled, ctx.Err(), "not the minute's end")
}

// BenchmarkProbeTLS is the price of one probe with a handshake, both ends.
func BenchmarkProbeTLS(b *testing.B) {
	authority, err := testbed.NewAuthority()
	require.NoError(b, err)
	certificate, err := authority.Server("sni.new")
	require.NoError(b, err)
	caFile, err := authority.WriteCA(b.TempDir())
	require.NoError(b, err)
	backend, err := testbed.Start(testbed.Options{Certificate: certificate})
	require.NoError(b, err)
	defer backend.Kill()
	p, spec, addr := newProber("", nil), secure("/healthz", caFile), netip.MustParseAddrPort(backend.Addr())
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	for b.Loop() {
		require.NoError(b, p.probe(ctx, spec, addr))
	}
}

// realBackend resolves to one address and passes changes on.
type realBackend struct {
	address netip.AddrPort
	changes chan migration.Name
}

// Addresses implements Resolver.
func (b realBackend) Addresses(migration.Backend) []netip.AddrPort {
	return []netip.AddrPort{b.address}
}

// ProbesChanged implements Observer.
func (b realBackend) ProbesChanged(service migration.Name) { b.changes <- service }

// TestCheckerWithRealProbes: a Checker with real sockets sees a backend die and
// come back.
func TestCheckerWithRealProbes(t *testing.T) {
	t.Parallel()
	backend := start(t, testbed.Options{})
	real := realBackend{netip.MustParseAddrPort(backend.Addr()), make(chan migration.Name, 10)}
	c := New(Options{Resolver: real, Observer: real})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.Run(ctx)
	}()
	spec := plain("/healthz")
	spec.Check.Interval, spec.Check.Timeout, spec.Check.Healthy, spec.Check.Unhealthy = 10*time.Millisecond, 5*time.Second, 2, 3
	c.SetTargets([]Target{{Key: api, Spec: spec}})
	expect := func(health fallback.Health) {
		t.Helper()
		select {
		case <-real.changes:
			require.Equal(t, health, c.Result(api).Health)
		case <-time.After(10 * time.Second):
			require.Fail(t, "no change", "%+v", c.Result(api))
		}
	}
	expect(fallback.Healthy)
	backend.Kill()
	expect(fallback.Unhealthy)
	require.True(t, c.Result(api).down())
	require.NoError(t, backend.Revive())
	expect(fallback.Healthy)
	backend.Answer(testbed.Do("status/503"))
	expect(fallback.Unhealthy)
	require.False(t, c.Result(api).down())
	cancel()
	<-ended
}

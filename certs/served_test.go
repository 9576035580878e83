package certs

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
)

var quiet = slog.New(slog.DiscardHandler)

// ca signs certificates, as cert-manager's CA issuer does.
type ca struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	serial      atomic.Int64
}

func newCA(t *testing.T) *ca {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return &ca{certificate: certificate, key: key}
}

// secret is what the Secret of a new certificate has, by file name.
func (c *ca) secret(t *testing.T, name string, from, to time.Time) map[string][]byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(100 + c.serial.Add(1)), DNSNames: []string{name}, NotBefore: from, NotAfter: to,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, c.certificate, key.Public(), c.key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return map[string][]byte{
		"tls.crt": block("CERTIFICATE", der), "tls.key": block("PRIVATE KEY", private),
		"ca.crt": block("CERTIFICATE", c.certificate.Raw),
	}
}

func (c *ca) fresh(t *testing.T) map[string][]byte {
	t.Helper()
	return c.secret(t, DNSNames("mp")[0], time.Now().Add(-time.Minute), time.Now().Add(time.Hour))
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// volume is a directory that is written as the kubelet writes a Secret: the
// files are links into a directory that one rename swaps.
type volume struct {
	dir     string
	version int
}

func (v *volume) write(t *testing.T, files map[string][]byte) {
	t.Helper()
	v.version++
	version := "..v" + string(rune('a'+v.version))
	require.NoError(t, os.Mkdir(filepath.Join(v.dir, version), 0o755))
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(v.dir, version, name), text, 0o600))
	}
	old, _ := os.Readlink(filepath.Join(v.dir, "..data"))
	require.NoError(t, os.Symlink(version, filepath.Join(v.dir, "..data_tmp")))
	require.NoError(t, os.Rename(filepath.Join(v.dir, "..data_tmp"), filepath.Join(v.dir, "..data")))
	for name := range files {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(v.dir, name)); !os.IsExist(err) {
			require.NoError(t, err)
		}
	}
	if old != "" {
		require.NoError(t, os.RemoveAll(filepath.Join(v.dir, old)))
	}
}

// serve runs a Served over the directory until the test ends.
func serve(t *testing.T, dir string) *Served {
	t.Helper()
	served := New(dir, "mp", quiet)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = served.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return served
}

func soon(t *testing.T, condition func() bool, what string) {
	t.Helper()
	require.Eventually(t, condition, 20*time.Second, 5*time.Millisecond, what)
}

func TestCheck(t *testing.T) {
	t.Parallel()
	authority, other := newCA(t), newCA(t)
	now, name := time.Now(), DNSNames("mp")[0]
	day := 24 * time.Hour
	foreign := authority.secret(t, name, now.Add(-day), now.Add(day))
	foreign["ca.crt"] = block("CERTIFICATE", other.certificate.Raw)
	alone := authority.secret(t, name, now.Add(-day), now.Add(day))
	delete(alone, "ca.crt")
	cases := []struct {
		name  string
		files map[string][]byte
		want  string
	}{
		{"good", authority.secret(t, name, now.Add(-day), now.Add(day)), ""},
		{"no ca.crt", alone, ""},
		{"expired", authority.secret(t, name, now.Add(-2*day), now.Add(-day)), "expired"},
		{"not yet", authority.secret(t, name, now.Add(day), now.Add(2*day)), "not yet valid"},
		{"of another Service", authority.secret(t, "web.mp.svc", now.Add(-day), now.Add(day)), "migration-proxy-webhook.mp.svc"},
		{"of another CA", foreign, "unknown authority"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := &volume{dir: t.TempDir()}
			dir.write(t, c.files)
			served := serve(t, dir.dir)
			soon(t, func() bool { _, err := served.GetCertificate(nil); return err == nil }, "read")
			if c.want == "" {
				require.NoError(t, served.Check(now))
				return
			}
			require.ErrorContains(t, served.Check(now), c.want)
			require.ErrorContains(t, served.Check(now), dir.dir)
		})
	}
}

// A pod may start before its certificate is there.
func TestServedWaits(t *testing.T) {
	t.Parallel()
	dir := &volume{dir: t.TempDir()}
	served := serve(t, dir.dir)
	_, err := served.GetCertificate(nil)
	require.Error(t, err)
	require.Error(t, served.Check(time.Now()))
	require.Zero(t, testutil.CollectAndCount(served))
	dir.write(t, newCA(t).fresh(t))
	soon(t, func() bool { return served.Check(time.Now()) == nil }, "the certificate is read once it is there")
}

// A certificate that is replaced is seen without being asked for.
func TestServedSeesTheNext(t *testing.T) {
	t.Parallel()
	authority, dir := newCA(t), &volume{dir: t.TempDir()}
	dir.write(t, authority.fresh(t))
	served := serve(t, dir.dir)
	soon(t, func() bool { return served.Check(time.Now()) == nil }, "first")
	before, err := served.GetCertificate(nil)
	require.NoError(t, err)
	dir.write(t, authority.fresh(t))
	soon(t, func() bool {
		after, err := served.GetCertificate(nil)
		return err == nil && string(after.Certificate[0]) != string(before.Certificate[0])
	}, "second")
}

// A pair that does not match leaves the one before at work.
func TestServedKeepsTheGoodPair(t *testing.T) {
	t.Parallel()
	authority, dir := newCA(t), &volume{dir: t.TempDir()}
	first := authority.fresh(t)
	dir.write(t, first)
	served := serve(t, dir.dir)
	soon(t, func() bool { return served.Check(time.Now()) == nil }, "first")
	before, err := served.GetCertificate(nil)
	require.NoError(t, err)
	broken := authority.fresh(t)
	broken["tls.key"] = first["tls.key"]
	dir.write(t, broken)
	served.read()
	after, err := served.GetCertificate(nil)
	require.NoError(t, err)
	require.Equal(t, before.Certificate, after.Certificate)
}

func TestExpiryMetric(t *testing.T) {
	t.Parallel()
	dir := &volume{dir: t.TempDir()}
	end := time.Unix(1_900_000_000, 0)
	dir.write(t, newCA(t).secret(t, DNSNames("mp")[0], time.Now(), end))
	served := serve(t, dir.dir)
	soon(t, func() bool { _, err := served.GetCertificate(nil); return err == nil }, "read")
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(served))
	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP migration_proxy_certificate_expiry_timestamp_seconds When the webhook's certificate ends, in seconds since 1970; absent when none is served.
# TYPE migration_proxy_certificate_expiry_timestamp_seconds gauge
migration_proxy_certificate_expiry_timestamp_seconds 1.9e+09
`)))
}

// TestRotationUnderLoad: clients with open connections and clients that shake
// hands each time go on while the certificate is replaced five times; no
// request fails, and new handshakes see the newest certificate.
func TestRotationUnderLoad(t *testing.T) {
	t.Parallel()
	authority, dir := newCA(t), &volume{dir: t.TempDir()}
	dir.write(t, authority.fresh(t))
	served := serve(t, dir.dir)
	soon(t, func() bool { return served.Check(time.Now()) == nil }, "first")
	address := listenTLS(t, served)

	roots := x509.NewCertPool()
	roots.AddCert(authority.certificate)
	trusted := &tls.Config{RootCAs: roots, ServerName: DNSNames("mp")[0]}
	load := &load{url: "https://" + address, config: trusted}
	load.start(t, 4)
	for range 5 {
		secret := authority.fresh(t)
		dir.write(t, secret)
		served.read() // it would soon be
		want, _ := pem.Decode(secret["tls.crt"])
		soon(t, func() bool { return string(handshake(t, address, trusted)) == string(want.Bytes) }, "the new certificate is served")
		kept, fresh := load.kept.Load()+20, load.fresh.Load()+20
		soon(t, func() bool { return load.kept.Load() > kept && load.fresh.Load() > fresh || load.failed.Load() != "" }, "requests go on")
	}
	load.stop()
	require.Empty(t, load.failed.Load())
	require.EqualValues(t, 4, load.dialled.Load(), "open connections stay open")
}

func listenTLS(t *testing.T, served *Served) string {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetCertificate: served.GetCertificate})
	require.NoError(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return listener.Addr().String()
}

func handshake(t *testing.T, address string, config *tls.Config) []byte {
	t.Helper()
	conn, err := tls.Dial("tcp", address, config)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	return conn.ConnectionState().PeerCertificates[0].Raw
}

// load asks without a pause.
type load struct {
	url                  string
	config               *tls.Config
	kept, fresh, dialled atomic.Int64
	failed               atomic.Value
	ending               chan struct{}
	clients              sync.WaitGroup
}

func (l *load) start(t *testing.T, clients int) {
	t.Helper()
	l.ending = make(chan struct{})
	l.failed.Store("")
	for range clients {
		dialer := &net.Dialer{}
		kept := &http.Transport{TLSClientConfig: l.config, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			l.dialled.Add(1)
			return dialer.DialContext(ctx, network, address)
		}}
		fresh := &http.Transport{TLSClientConfig: l.config, DisableKeepAlives: true}
		l.clients.Go(func() { l.ask(kept, &l.kept) })
		l.clients.Go(func() { l.ask(fresh, &l.fresh) })
		t.Cleanup(kept.CloseIdleConnections)
	}
}

func (l *load) ask(transport http.RoundTripper, count *atomic.Int64) {
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	for {
		select {
		case <-l.ending:
			return
		default:
		}
		answer, err := client.Get(l.url)
		if err != nil {
			l.failed.Store(err.Error())
			return
		}
		_ = answer.Body.Close()
		count.Add(1)
	}
}

func (l *load) stop() {
	close(l.ending)
	l.clients.Wait()
}

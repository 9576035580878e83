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

// secret gives the content of the Secret of a new certificate, by file name.
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

// newSecret is the Secret of a valid certificate.
func (c *ca) newSecret(t *testing.T) map[string][]byte {
	t.Helper()
	return c.secret(t, DNSName("mp"), time.Now().Add(-time.Minute), time.Now().Add(time.Hour))
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// volume is a directory that is written as the kubelet writes a mounted Secret: the
// files are links into a directory that one rename replaces.
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

// runReloader runs a Reloader for the directory until the test ends.
func runReloader(t *testing.T, dir string) *Reloader {
	t.Helper()
	reloader := New(dir, "mp", quiet)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = reloader.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return reloader
}

// waitFor fails with the message if the condition does not become true.
func waitFor(t *testing.T, condition func() bool, message string) {
	t.Helper()
	require.Eventually(t, condition, 20*time.Second, 5*time.Millisecond, message)
}

// TestCheck: Check accepts what the API server accepts.
func TestCheck(t *testing.T) {
	t.Parallel()
	authority, otherCA := newCA(t), newCA(t)
	now, name := time.Now(), DNSName("mp")
	day := 24 * time.Hour
	foreign := authority.secret(t, name, now.Add(-day), now.Add(day))
	foreign["ca.crt"] = block("CERTIFICATE", otherCA.certificate.Raw)
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
		{"another Service", authority.secret(t, "web.mp.svc", now.Add(-day), now.Add(day)), "migration-proxy-webhook.mp.svc"},
		{"another CA", foreign, "unknown authority"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := &volume{dir: t.TempDir()}
			dir.write(t, c.files)
			reloader := runReloader(t, dir.dir)
			waitFor(t, func() bool { _, err := reloader.GetCertificate(nil); return err == nil }, "the certificate is not read")
			if c.want == "" {
				require.NoError(t, reloader.Check(now))
				return
			}
			require.ErrorContains(t, reloader.Check(now), c.want)
			require.ErrorContains(t, reloader.Check(now), dir.dir)
		})
	}
}

// TestReloaderWaits: a pod may start before its certificate exists.
func TestReloaderWaits(t *testing.T) {
	t.Parallel()
	dir := &volume{dir: t.TempDir()}
	reloader := runReloader(t, dir.dir)
	_, err := reloader.GetCertificate(nil)
	require.Error(t, err)
	require.Error(t, reloader.Check(time.Now()))
	require.Zero(t, testutil.CollectAndCount(reloader))
	dir.write(t, newCA(t).newSecret(t))
	waitFor(t, func() bool { return reloader.Check(time.Now()) == nil }, "the certificate is not read")
}

// TestReloaderReadsTheNext: a replaced certificate is read by itself.
func TestReloaderReadsTheNext(t *testing.T) {
	t.Parallel()
	authority, dir := newCA(t), &volume{dir: t.TempDir()}
	dir.write(t, authority.newSecret(t))
	reloader := runReloader(t, dir.dir)
	waitFor(t, func() bool { return reloader.Check(time.Now()) == nil }, "the first certificate is not valid")
	before, err := reloader.GetCertificate(nil)
	require.NoError(t, err)
	dir.write(t, authority.newSecret(t))
	waitFor(t, func() bool {
		after, err := reloader.GetCertificate(nil)
		return err == nil && string(after.Certificate[0]) != string(before.Certificate[0])
	}, "the second certificate is not served")
}

// TestReloaderKeepsTheGoodPair: a key that does not match leaves the last good
// certificate in use.
func TestReloaderKeepsTheGoodPair(t *testing.T) {
	t.Parallel()
	authority, dir := newCA(t), &volume{dir: t.TempDir()}
	first := authority.newSecret(t)
	dir.write(t, first)
	reloader := runReloader(t, dir.dir)
	waitFor(t, func() bool { return reloader.Check(time.Now()) == nil }, "the first certificate is not valid")
	before, err := reloader.GetCertificate(nil)
	require.NoError(t, err)
	broken := authority.newSecret(t)
	broken["tls.key"] = first["tls.key"]
	dir.write(t, broken)
	reloader.read()
	after, err := reloader.GetCertificate(nil)
	require.NoError(t, err)
	require.Equal(t, before.Certificate, after.Certificate)
}

// TestExpiryMetric: the metric is the end of the certificate.
func TestExpiryMetric(t *testing.T) {
	t.Parallel()
	dir := &volume{dir: t.TempDir()}
	end := time.Unix(1_900_000_000, 0)
	dir.write(t, newCA(t).secret(t, DNSName("mp"), time.Now(), end))
	reloader := runReloader(t, dir.dir)
	waitFor(t, func() bool { _, err := reloader.GetCertificate(nil); return err == nil }, "the certificate is not read")
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(reloader))
	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP migration_proxy_certificate_expiry_timestamp_seconds Time at which the webhook's certificate expires, in seconds since 1970; absent without a certificate.
# TYPE migration_proxy_certificate_expiry_timestamp_seconds gauge
migration_proxy_certificate_expiry_timestamp_seconds 1.9e+09
`)))
}

// TestRotationUnderLoad: while the certificate is replaced five times, no request
// fails, neither on open connections nor on new ones, and new handshakes get the
// newest certificate.
func TestRotationUnderLoad(t *testing.T) {
	t.Parallel()
	authority, dir := newCA(t), &volume{dir: t.TempDir()}
	dir.write(t, authority.newSecret(t))
	reloader := runReloader(t, dir.dir)
	waitFor(t, func() bool { return reloader.Check(time.Now()) == nil }, "the first certificate is not valid")
	address := listenTLS(t, reloader)

	roots := x509.NewCertPool()
	roots.AddCert(authority.certificate)
	trusted := &tls.Config{RootCAs: roots, ServerName: DNSName("mp")}
	load := &load{url: "https://" + address, config: trusted}
	load.start(t, 4)
	for range 5 {
		secret := authority.newSecret(t)
		dir.write(t, secret)
		reloader.read() // instead of waiting for the next poll
		want, _ := pem.Decode(secret["tls.crt"])
		waitFor(t, func() bool { return string(handshake(t, address, trusted)) == string(want.Bytes) }, "the new certificate is not served")
		kept, fresh := load.kept.Load()+20, load.fresh.Load()+20
		waitFor(t, func() bool { return load.kept.Load() > kept && load.fresh.Load() > fresh || load.failed.Load() != "" }, "requests stopped")
	}
	load.stop()
	require.Empty(t, load.failed.Load())
	require.EqualValues(t, 4, load.dialed.Load(), "open connections stay open")
}

func listenTLS(t *testing.T, reloader *Reloader) string {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetCertificate: reloader.GetCertificate})
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

// load sends requests without a pause, on kept connections and on fresh ones.
type load struct {
	url                 string
	config              *tls.Config
	kept, fresh, dialed atomic.Int64
	failed              atomic.Value
	stopping            chan struct{}
	clients             sync.WaitGroup
}

func (l *load) start(t *testing.T, clients int) {
	t.Helper()
	l.stopping = make(chan struct{})
	l.failed.Store("")
	for range clients {
		dialer := &net.Dialer{}
		kept := &http.Transport{TLSClientConfig: l.config, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			l.dialed.Add(1)
			return dialer.DialContext(ctx, network, address)
		}}
		fresh := &http.Transport{TLSClientConfig: l.config, DisableKeepAlives: true}
		l.clients.Go(func() { l.send(kept, &l.kept) })
		l.clients.Go(func() { l.send(fresh, &l.fresh) })
		t.Cleanup(kept.CloseIdleConnections)
	}
}

func (l *load) send(transport http.RoundTripper, count *atomic.Int64) {
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	for {
		select {
		case <-l.stopping:
			return
		default:
		}
		response, err := client.Get(l.url)
		if err != nil {
			l.failed.Store(err.Error())
			return
		}
		_ = response.Body.Close()
		count.Add(1)
	}
}

func (l *load) stop() {
	close(l.stopping)
	l.clients.Wait()
}

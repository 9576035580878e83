package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"

	"github.com/migration-proxy/migration-proxy/internal/names"
)

const (
	// pollInterval is the time until a new certificate is noticed. The files are
	// read, not watched: a second does not matter, and a busy node may have no
	// inotify instance left.
	pollInterval = time.Second
	caFile       = "ca.crt" // cert-manager writes it, other issuers may not
)

var expiryDesc = prometheus.NewDesc("migration_proxy_certificate_expiry_timestamp_seconds",
	"Time at which the webhook's certificate expires, in seconds since 1970; absent without a certificate.", nil, nil)

// Reloader serves the certificate in a directory (tls.crt and tls.key, as a
// Secret is mounted), and reads it again every second. While the files cannot be
// read or do not match, it serves the last good certificate.
type Reloader struct {
	dir, dnsName string
	log          *slog.Logger
	certificate  atomic.Pointer[tls.Certificate] // nil: none was read yet
	readError    atomic.Pointer[error]           // of the last read; nil inside if it succeeded
}

// New creates a Reloader for the directory. The certificate must be for the
// webhook's Service in the namespace. Nothing is read before Run.
func New(dir, namespace string, log *slog.Logger) *Reloader {
	r := &Reloader{dir: dir, dnsName: DNSName(namespace), log: log}
	notRead := errors.New("not read yet")
	r.readError.Store(&notRead)
	return r
}

// DNSName is the name that the API server calls the webhook by, so the certificate must
// have it.
func DNSName(namespace string) string {
	return fmt.Sprintf("%s.%s.svc", names.Webhook, namespace)
}

// Run reads the files every second until ctx ends, and then returns nil. It waits
// for files that do not exist yet.
func (r *Reloader) Run(ctx context.Context) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		r.read()
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// read logs the same error once.
func (r *Reloader) read() {
	certificate, err := tls.LoadX509KeyPair(filepath.Join(r.dir, corev1.TLSCertKey), filepath.Join(r.dir, corev1.TLSPrivateKeyKey))
	if err == nil {
		r.certificate.Store(&certificate)
	}
	before := r.readError.Swap(&err)
	if err != nil && (*before == nil || err.Error() != (*before).Error()) {
		r.log.Warn("certificate files not readable, keeping the last certificate", "directory", r.dir, "error", err)
	}
}

// GetCertificate gives the newest certificate. It is for tls.Config.
func (r *Reloader) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	err := r.readError.Load() // before the certificate: if there is none, the error is why
	if certificate := r.certificate.Load(); certificate != nil {
		return certificate, nil
	}
	return nil, fmt.Errorf("no certificate: %w", *err)
}

// Check returns nil if the API server accepts the served certificate at the time:
// its validity, its name and, if the directory has ca.crt, its CA. The error says
// what to do.
func (r *Reloader) Check(now time.Time) error {
	certificate, err := r.GetCertificate(nil)
	if err != nil {
		return fmt.Errorf("certificate in %s: %w", r.dir, err)
	}
	leaf := certificate.Leaf
	if _, err := leaf.Verify(r.verifyOptions(certificate, now)); err != nil {
		return fmt.Errorf("certificate in %s (%s to %s): %w; is cert-manager running, and is the Certificate ready?",
			r.dir, leaf.NotBefore.Format(time.DateOnly), leaf.NotAfter.Format(time.DateOnly), err)
	}
	return nil
}

func (r *Reloader) verifyOptions(certificate *tls.Certificate, now time.Time) x509.VerifyOptions {
	options := x509.VerifyOptions{
		DNSName: r.dnsName, CurrentTime: now, Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(),
	}
	pem, err := os.ReadFile(filepath.Join(r.dir, caFile))
	if err != nil || !options.Roots.AppendCertsFromPEM(pem) {
		options.Roots.AddCert(certificate.Leaf) // verify only validity and name
	}
	for _, der := range certificate.Certificate[1:] {
		if intermediate, err := x509.ParseCertificate(der); err == nil {
			options.Intermediates.AddCert(intermediate)
		}
	}
	return options
}

// Describe implements prometheus.Collector.
func (r *Reloader) Describe(out chan<- *prometheus.Desc) { out <- expiryDesc }

// Collect implements prometheus.Collector.
func (r *Reloader) Collect(out chan<- prometheus.Metric) {
	if certificate := r.certificate.Load(); certificate != nil {
		out <- prometheus.MustNewConstMetric(expiryDesc, prometheus.GaugeValue, float64(certificate.Leaf.NotAfter.Unix()))
	}
}

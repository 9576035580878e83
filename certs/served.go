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

	corev1 "k8s.io/api/core/v1"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
)

const (
	// readEvery finds what the kernel does not tell about the files.
	readEvery = 10 * time.Second
	// tryEvery is how soon a certificate that is not there yet is looked for.
	tryEvery = time.Second
	caFile   = "ca.crt" // cert-manager writes it, others need not
)

var descExpiry = prometheus.NewDesc("migration_proxy_certificate_expiry_timestamp_seconds",
	"When the webhook's certificate ends, in seconds since 1970; absent when none is served.", nil, nil)

// Served is the certificate at work: what is in a directory (tls.crt and
// tls.key, as a Secret is mounted), read again whenever it changes. A pair
// that cannot be read or does not match leaves the one before at work.
type Served struct {
	dir, name string
	log       *slog.Logger
	watcher   atomic.Pointer[certwatcher.CertWatcher]
	missing   atomic.Pointer[error] // why there is no certificate yet
}

// New names the directory, and the namespace of the Service that the
// certificate must be for. Nothing is read before Run.
func New(dir, namespace string, log *slog.Logger) *Served {
	served := &Served{dir: dir, name: DNSNames(namespace)[0], log: log}
	served.miss(errors.New("not read yet"))
	return served
}

func (s *Served) miss(err error) { s.missing.Store(&err) }

// Run keeps the certificate fresh until ctx ends, and then returns nil. It
// waits for one that is not there yet.
func (s *Served) Run(ctx context.Context) error {
	for waiting := false; ; waiting = true {
		watcher, err := certwatcher.New(filepath.Join(s.dir, corev1.TLSCertKey), filepath.Join(s.dir, corev1.TLSPrivateKeyKey))
		if err == nil {
			s.watcher.Store(watcher.WithWatchInterval(readEvery))
			err = watcher.Start(ctx)
		}
		if ctx.Err() != nil {
			return nil
		}
		s.miss(err)
		if !waiting {
			s.log.Warn("There is no certificate to serve, waiting for one", "directory", s.dir, "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(tryEvery):
		}
	}
}

// GetCertificate is for tls.Config: the newest certificate.
func (s *Served) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	watcher := s.watcher.Load()
	if watcher == nil {
		return nil, fmt.Errorf("no certificate: %w", *s.missing.Load())
	}
	return watcher.GetCertificate(hello)
}

// leaf is the certificate that is served, and what came with it.
func (s *Served) leaf() (leaf *x509.Certificate, rest [][]byte, err error) {
	pair, err := s.GetCertificate(nil)
	if err != nil {
		return nil, nil, err
	}
	leaf, err = x509.ParseCertificate(pair.Certificate[0])
	return leaf, pair.Certificate[1:], err
}

// Check returns nil when the API server would accept what is served at that
// time: its days, its name and, if ca.crt lies beside it, its CA. The error
// says what to do.
func (s *Served) Check(now time.Time) error {
	leaf, rest, err := s.leaf()
	if err != nil {
		return fmt.Errorf("certificate in %s: %w", s.dir, err)
	}
	options := x509.VerifyOptions{
		DNSName: s.name, CurrentTime: now, Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(),
	}
	pem, err := os.ReadFile(filepath.Join(s.dir, caFile))
	if err != nil || !options.Roots.AppendCertsFromPEM(pem) {
		options.Roots.AddCert(leaf) // then only its days and its name are looked at
	}
	for _, der := range rest {
		if between, err := x509.ParseCertificate(der); err == nil {
			options.Intermediates.AddCert(between)
		}
	}
	if _, err := leaf.Verify(options); err != nil {
		return fmt.Errorf("certificate in %s (%s to %s): %w; is cert-manager running, and is the Certificate ready?",
			s.dir, leaf.NotBefore.Format(time.DateOnly), leaf.NotAfter.Format(time.DateOnly), err)
	}
	return nil
}

// Describe implements prometheus.Collector.
func (s *Served) Describe(out chan<- *prometheus.Desc) { out <- descExpiry }

// Collect implements prometheus.Collector.
func (s *Served) Collect(out chan<- prometheus.Metric) {
	if leaf, _, err := s.leaf(); err == nil {
		out <- prometheus.MustNewConstMetric(descExpiry, prometheus.GaugeValue, float64(leaf.NotAfter.Unix()))
	}
}

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
)

const (
	// readEvery is how soon a new certificate is seen. Its files are read, not
	// watched: a second does not matter, and a busy node has no inotify
	// instance left.
	readEvery = time.Second
	caFile    = "ca.crt" // cert-manager writes it, others need not
)

var descExpiry = prometheus.NewDesc("migration_proxy_certificate_expiry_timestamp_seconds",
	"When the webhook's certificate ends, in seconds since 1970; absent when none is served.", nil, nil)

// Served is the certificate at work: what is in a directory (tls.crt and
// tls.key, as a Secret is mounted), read again whenever it changes. A pair
// that cannot be read or does not match leaves the one before at work.
type Served struct {
	dir, name string
	log       *slog.Logger
	pair      atomic.Pointer[tls.Certificate]
	trouble   atomic.Pointer[error] // why the files could not be read lately
}

// New names the directory, and the namespace of the Service that the
// certificate must be for. Nothing is read before Run.
func New(dir, namespace string, log *slog.Logger) *Served {
	served := &Served{dir: dir, name: DNSNames(namespace)[0], log: log}
	unread := errors.New("not read yet")
	served.trouble.Store(&unread)
	return served
}

// Run keeps the certificate fresh until ctx ends, and then returns nil. It
// waits for one that is not there yet.
func (s *Served) Run(ctx context.Context) error {
	tick := time.NewTicker(readEvery)
	defer tick.Stop()
	for {
		s.read()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// read tells of the same trouble once.
func (s *Served) read() {
	pair, err := tls.LoadX509KeyPair(filepath.Join(s.dir, corev1.TLSCertKey), filepath.Join(s.dir, corev1.TLSPrivateKeyKey))
	if err == nil {
		s.pair.Store(&pair)
	}
	before := s.trouble.Swap(&err)
	if err != nil && (*before == nil || err.Error() != (*before).Error()) {
		s.log.Warn("No certificate can be read; the one before stays, if there was one", "directory", s.dir, "error", err)
	}
}

// GetCertificate is for tls.Config: the newest certificate.
func (s *Served) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	trouble := s.trouble.Load() // before the pair, so that there is one of the two
	if pair := s.pair.Load(); pair != nil {
		return pair, nil
	}
	return nil, fmt.Errorf("no certificate: %w", *trouble)
}

// Check returns nil when the API server would accept what is served at that
// time: its days, its name and, if ca.crt lies beside it, its CA. The error
// says what to do.
func (s *Served) Check(now time.Time) error {
	pair, err := s.GetCertificate(nil)
	if err != nil {
		return fmt.Errorf("certificate in %s: %w", s.dir, err)
	}
	leaf := pair.Leaf
	options := x509.VerifyOptions{
		DNSName: s.name, CurrentTime: now, Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(),
	}
	pem, err := os.ReadFile(filepath.Join(s.dir, caFile))
	if err != nil || !options.Roots.AppendCertsFromPEM(pem) {
		options.Roots.AddCert(leaf) // then only its days and its name are looked at
	}
	for _, der := range pair.Certificate[1:] {
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
	if pair := s.pair.Load(); pair != nil {
		out <- prometheus.MustNewConstMetric(descExpiry, prometheus.GaugeValue, float64(pair.Leaf.NotAfter.Unix()))
	}
}

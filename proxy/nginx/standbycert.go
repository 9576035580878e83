package nginx

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"path/filepath"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/atomicfile"
	"github.com/migration-proxy/migration-proxy/nginxgen"
)

// EnsureStandbyCertificate makes the certificate of the standby servers of the nginx in a
// directory, see nginxgen.StandbyCert. An existing one stays: the workers of before
// trust only it.
func EnsureStandbyCertificate(dir string) error {
	cert, key := filepath.Join(dir, nginxgen.StandbyCert), filepath.Join(dir, nginxgen.StandbyKey)
	if _, err := tls.LoadX509KeyPair(cert, key); err == nil {
		return nil
	}
	certPEM, keyPEM, err := newStandbyCertificate()
	if err == nil {
		err = atomicfile.Write(key, keyPEM, 0o600)
	}
	if err == nil {
		err = atomicfile.Write(cert, certPEM, 0o644)
	}
	if err != nil {
		return fmt.Errorf("make the certificate of the standby servers: %w", err)
	}
	return nil
}

// newStandbyCertificate makes a certificate that vouches for itself and for no other:
// it is no certificate of an authority. It has no end, as nobody renews it.
func newStandbyCertificate() (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: nginxgen.StandbyName}, DNSNames: []string{nginxgen.StandbyName},
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	certPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return certPEM, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), nil
}

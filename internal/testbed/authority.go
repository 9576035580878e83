package testbed

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// validity is long enough for a demo that runs for some days.
const validity = 7 * 24 * time.Hour

// Authority is a certificate authority for tests. Its key stays in the process.
type Authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// NewAuthority makes an authority that is valid for a week.
func NewAuthority() (*Authority, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "migration-proxy throw-away CA"},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	authority := &Authority{}
	certificate, err := authority.sign(template)
	if err != nil {
		return nil, err
	}
	authority.certificate, authority.key = certificate.Leaf, certificate.PrivateKey.(*ecdsa.PrivateKey)
	return authority, nil
}

// Server makes a server certificate for DNS names, also wildcards, and IP addresses.
func (a *Authority) Server(names ...string) (*tls.Certificate, error) {
	return a.server(&x509.Certificate{}, names)
}

// Expired is Server with a certificate that expired yesterday.
func (a *Authority) Expired(names ...string) (*tls.Certificate, error) {
	yesterday := time.Now().Add(-24 * time.Hour)
	return a.server(&x509.Certificate{NotBefore: yesterday.Add(-validity), NotAfter: yesterday}, names)
}

func (a *Authority) server(template *x509.Certificate, names []string) (*tls.Certificate, error) {
	if len(names) == 0 {
		return nil, errors.New("make server certificate: give at least one name")
	}
	template.Subject = pkix.Name{CommonName: names[0]}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	return a.sign(template)
}

// Client makes a client certificate with the common name. For Kubernetes the name is
// the user, and the organizations are its groups.
func (a *Authority) Client(name string, organizations ...string) (*tls.Certificate, error) {
	return a.sign(&x509.Certificate{
		Subject:     pkix.Name{CommonName: name, Organization: organizations},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

// sign adds a new key, a serial number and dates to the template. An authority without
// a certificate signs with the new key, so it signs itself.
func (a *Authority) sign(template *x509.Certificate) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	template.SerialNumber = serial
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(validity)
	}
	template.KeyUsage |= x509.KeyUsageDigitalSignature
	parent, signer := a.certificate, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

// Pool is a certificate pool with only this authority.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

// PEM is the authority's certificate.
func (a *Authority) PEM() []byte { return pemBlock("CERTIFICATE", a.certificate.Raw) }

// WriteCA writes the authority's certificate to dir/ca.pem and gives that path.
func (a *Authority) WriteCA(dir string) (string, error) {
	return writePEM(dir, "ca.pem", a.PEM())
}

// WritePair writes a certificate to dir/name.pem and its key, with mode 0600, to
// dir/name-key.pem.
func WritePair(dir, name string, certificate *tls.Certificate) (certFile, keyFile string, err error) {
	text, key, err := EncodePair(certificate)
	if err != nil {
		return "", "", fmt.Errorf("write key of %s: %w", name, err)
	}
	keyFile, err = writePEM(dir, name+"-key.pem", key)
	if err != nil {
		return "", "", err
	}
	certFile, err = writePEM(dir, name+".pem", text)
	return certFile, keyFile, err
}

// EncodePair gives a certificate and its key (PKCS 8) in PEM.
func EncodePair(certificate *tls.Certificate) (text, key []byte, err error) {
	der, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	if err != nil {
		return nil, nil, err
	}
	return pemBlock("CERTIFICATE", certificate.Certificate[0]), pemBlock("PRIVATE KEY", der), nil
}

func pemBlock(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func writePEM(dir, name string, text []byte) (string, error) {
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return "", fmt.Errorf("write certificate: %w", err)
	}
	return file, nil
}

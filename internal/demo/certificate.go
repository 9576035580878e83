package demo

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
	"time"
)

// certificateValidity is long enough for a demo that is left running.
const certificateValidity = 7 * 24 * time.Hour

// newCertificate makes a server certificate for the host, signed by a CA of its
// own, and the certificate of the CA in PEM. The key of the CA is thrown away.
func newCertificate(host string) (server *tls.Certificate, ca []byte, err error) {
	authority := &x509.Certificate{
		Subject: pkix.Name{CommonName: "migration-proxy demo CA"}, SerialNumber: big.NewInt(1),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	authorityKey, authorityDER, err := signCertificate(authority, nil, nil)
	if err != nil {
		return nil, nil, err
	}
	leaf := &x509.Certificate{
		Subject: pkix.Name{CommonName: host}, SerialNumber: big.NewInt(2), DNSNames: []string{host},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	key, der, err := signCertificate(leaf, authority, authorityKey)
	if err != nil {
		return nil, nil, err
	}
	ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authorityDER})
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, ca, nil
}

// signCertificate signs with the key of the parent; without a parent the
// certificate signs itself.
func signCertificate(template, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (key *ecdsa.PrivateKey, der []byte, err error) {
	if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, nil, fmt.Errorf("make certificate: %w", err)
	}
	if parent == nil {
		parent, parentKey = template, key
	}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(certificateValidity)
	if der, err = x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey); err != nil {
		return nil, nil, fmt.Errorf("make certificate: %w", err)
	}
	return key, der, nil
}

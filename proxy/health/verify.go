package health

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// trusted are the certificates of a file.
type trusted struct {
	roots *x509.CertPool
	// all can also stand between the server's certificate and a root: OpenSSL looks
	// for these in the file too, not only in what the server sends.
	all []*x509.Certificate
}

func parseTrusted(texts [][]byte) (*trusted, error) {
	found := &trusted{roots: x509.NewCertPool()}
	for rest := texts[0]; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if block.Type != "CERTIFICATE" || err != nil {
			continue // as in x509.CertPool
		}
		found.roots.AddCert(certificate)
		found.all = append(found.all, certificate)
	}
	if len(found.all) == 0 {
		return nil, errors.New("the file holds no certificate")
	}
	return found, nil
}

// maxIntermediates is proxy_ssl_verify_depth, see tlsDefaults in package nginxgen.
const maxIntermediates = 5

// verify judges a server's certificate as nginx with OpenSSL does. Where it differs
// from Go:
//
//	a chain must end in a certificate that signed itself; Go ends it at any trusted one
//	a chain has at most five certificates between the server's and that one
//	certificates of the file may stand within the chain
//	names: see matchesHost
//
// Key lengths and signatures are Go's: how strict OpenSSL is with them, the system
// configures.
func verify(state tls.ConnectionState, trust *trusted, name string) error {
	leaf := state.PeerCertificates[0]
	options := x509.VerifyOptions{Intermediates: x509.NewCertPool()}
	for _, certificate := range state.PeerCertificates[1:] {
		options.Intermediates.AddCert(certificate)
	}
	if trust != nil {
		options.Roots = trust.roots
		for _, certificate := range trust.all {
			options.Intermediates.AddCert(certificate)
		}
	}
	chains, err := leaf.Verify(options)
	if err != nil {
		return err
	}
	if !anyComplete(chains) {
		return errors.New("x509: the trusted certificates lack the root that signed the others, or more than 5 stand between")
	}
	if !matchesHost(leaf, name) {
		return fmt.Errorf("x509: certificate is valid for %s, not %s; nginx compares names only, also where the name is an IP address",
			namesOf(leaf), name)
	}
	return nil
}

func anyComplete(chains [][]*x509.Certificate) bool {
	for _, chain := range chains {
		last := chain[len(chain)-1]
		if bytes.Equal(last.RawIssuer, last.RawSubject) && len(chain)-2 <= maxIntermediates {
			return true
		}
	}
	return false
}

package dataplane

import (
	"errors"
	"os"
	"path/filepath"
)

// rootCerts are the places of the root certificates that this machine trusts.
type rootCerts struct {
	file   string // all certificates in one file
	dir    string // OpenSSL's directory of hashed names, or ""
	anchor string // one file of dir, or ""
}

// The places of the distributions. The first that exists is used, as in Go's
// crypto/x509.
var (
	rootCertFiles = []string{
		"/etc/ssl/certs/ca-certificates.crt",                // Debian, Ubuntu, Alpine
		"/etc/pki/tls/certs/ca-bundle.crt",                  // Fedora, RHEL
		"/etc/ssl/ca-bundle.pem",                            // openSUSE
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // CentOS, RHEL 7
		"/etc/ssl/cert.pem",                                 // Alpine
	}
	rootCertDirs = []string{"/etc/ssl/certs", "/etc/pki/tls/certs"}
)

// findRootCerts finds the root certificates. $SSL_CERT_FILE names another
// file, as for OpenSSL and Go.
func findRootCerts() (rootCerts, error) {
	if file := os.Getenv("SSL_CERT_FILE"); file != "" {
		return rootCerts{file: file}, nil
	}
	for _, file := range rootCertFiles {
		if _, err := os.Stat(file); err == nil {
			dir, anchor := findHashedDir()
			return rootCerts{file, dir, anchor}, nil
		}
	}
	return rootCerts{}, errors.New("this machine trusts no certificates: install ca-certificates, or name a file with $SSL_CERT_FILE")
}

func findHashedDir() (dir, file string) {
	for _, dir := range rootCertDirs {
		hashed, _ := filepath.Glob(filepath.Join(dir, "????????.0")) // the pattern is well-formed
		if len(hashed) > 0 {
			return dir, hashed[0]
		}
	}
	return "", ""
}

package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// trust is where this machine keeps the certificates that it trusts.
type trust struct {
	file        string // all in one
	dir, anchor string // OpenSSL's folder of hashed names and one file in it; or ""
}

// Where distributions keep them; the first that exists counts, as in Go's
// crypto/x509.
var (
	trustFiles = []string{
		"/etc/ssl/certs/ca-certificates.crt",                // Debian, Ubuntu, Alpine
		"/etc/pki/tls/certs/ca-bundle.crt",                  // Fedora, RHEL
		"/etc/ssl/ca-bundle.pem",                            // openSUSE
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // CentOS, RHEL 7
		"/etc/ssl/cert.pem",                                 // Alpine
	}
	trustDirs = []string{"/etc/ssl/certs", "/etc/pki/tls/certs"}
)

// systemTrust finds them. $SSL_CERT_FILE names another file, as everywhere.
func systemTrust() (trust, error) {
	if file := os.Getenv("SSL_CERT_FILE"); file != "" {
		return trust{file: file}, nil
	}
	for _, file := range trustFiles {
		if _, err := os.Stat(file); err == nil {
			dir, anchor := hashedTrust()
			return trust{file, dir, anchor}, nil
		}
	}
	return trust{}, errors.New("this machine trusts no certificates: install ca-certificates, or name a file with $SSL_CERT_FILE")
}

func hashedTrust() (dir, anchor string) {
	for _, dir := range trustDirs {
		hashed, _ := filepath.Glob(filepath.Join(dir, "????????.0")) // the pattern is well-formed
		if len(hashed) > 0 {
			return dir, hashed[0]
		}
	}
	return "", ""
}

// hasIPv6 tells whether sockets can listen on IPv6; containers often cannot.
func hasIPv6() bool {
	listener, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		return false
	}
	return listener.Close() == nil
}

// trustedOwner refuses a runtime directory that another user has made, as
// anybody can below /tmp: what stands in it decides where requests go.
func trustedOwner(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return nil // it will be made, or that will say what is wrong
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if ok && owner.Uid != 0 && int(owner.Uid) != os.Geteuid() {
		return fmt.Errorf("runtime directory %s belongs to user %d; remove it, or choose another with --runtime-dir", dir, owner.Uid)
	}
	return nil
}

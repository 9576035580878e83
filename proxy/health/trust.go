package health

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
)

// trust holds what was read from certificate files, shared by all services
// that name the same ones.
type trust struct {
	roots string
	pools cache[*x509.CertPool]
	pairs cache[*tls.Certificate]
}

func newTrust(roots string) *trust {
	return &trust{
		roots: roots,
		pools: cache[*x509.CertPool]{parse: parsePool, read: map[string]*reading[*x509.CertPool]{}},
		pairs: cache[*tls.Certificate]{parse: parsePair, read: map[string]*reading[*tls.Certificate]{}},
	}
}

// config is TLS as the traffic has it: see commonTLS and serviceTLS of
// package nginxgen.
func (t *trust) config(spec Spec) (*tls.Config, error) {
	config := &tls.Config{
		ServerName: spec.ServerName, MinVersion: tls.VersionTLS12,
		// Go does not look at common names and nginx does, so verify does all of it.
		InsecureSkipVerify: true, //nolint:gosec // see VerifyConnection
	}
	if spec.TLS.ClientCertFile != "" {
		pair, err := t.pairs.get(spec.TLS.ClientCertFile, spec.TLS.ClientKeyFile)
		if err != nil {
			return nil, fmt.Errorf("client certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{*pair}
	}
	if !spec.TLS.Verify {
		return config, nil
	}
	pool, err := t.pool(spec.TLS.CAFile)
	config.VerifyConnection = func(state tls.ConnectionState) error { return verify(state, pool, spec.ServerName) }
	return config, err
}

// pool is nil for the system's roots.
func (t *trust) pool(file string) (*x509.CertPool, error) {
	if file == "" {
		file = t.roots
	}
	if file == "" {
		return nil, nil
	}
	pool, err := t.pools.get(file)
	if err != nil {
		return nil, fmt.Errorf("trusted certificates: %w", err)
	}
	return pool, nil
}

func verify(state tls.ConnectionState, roots *x509.CertPool, name string) error {
	leaf := *state.PeerCertificates[0]
	intermediates := x509.NewCertPool()
	for _, certificate := range state.PeerCertificates[1:] {
		intermediates.AddCert(certificate)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates}); err != nil {
		return err
	}
	if len(leaf.DNSNames) == 0 && leaf.Subject.CommonName != "" {
		leaf.DNSNames = []string{leaf.Subject.CommonName}
	}
	return leaf.VerifyHostname(name)
}

func parsePool(texts [][]byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(texts[0]) {
		return nil, errors.New("the file holds no certificate")
	}
	return pool, nil
}

func parsePair(texts [][]byte) (*tls.Certificate, error) {
	pair, err := tls.X509KeyPair(texts[0], texts[1])
	return &pair, err
}

// cache reads files once, and again when one of them has changed.
type cache[T any] struct {
	parse func(texts [][]byte) (T, error)
	mu    sync.Mutex
	read  map[string]*reading[T]
}

type reading[T any] struct {
	value T
	infos []fs.FileInfo // as they were when value was read
	err   error         // why nothing newer was read
	good  bool
}

// get gives what the files hold, or held when they could be read last.
func (c *cache[T]) get(files ...string) (T, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := strings.Join(files, "\x00")
	r := c.read[name]
	if r == nil {
		r = &reading[T]{}
		c.read[name] = r
	}
	infos, err := stat(files)
	if err != nil || !same(infos, r.infos) {
		r.refresh(files, infos, c.parse)
	}
	if r.good {
		return r.value, nil
	}
	return r.value, r.err
}

func (r *reading[T]) refresh(files []string, infos []fs.FileInfo, parse func([][]byte) (T, error)) {
	texts := make([][]byte, len(files))
	for i, file := range files {
		if texts[i], r.err = os.ReadFile(file); r.err != nil {
			return
		}
	}
	value, err := parse(texts)
	if r.err = err; err != nil {
		r.err = fmt.Errorf("read %s: %w", files[0], err)
		return
	}
	r.value, r.infos, r.good = value, infos, true
}

func stat(files []string) ([]fs.FileInfo, error) {
	infos := make([]fs.FileInfo, len(files))
	for i, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			return nil, err
		}
		infos[i] = info
	}
	return infos, nil
}

func same(a, b []fs.FileInfo) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !os.SameFile(a[i], b[i]) || a[i].Size() != b[i].Size() || !a[i].ModTime().Equal(b[i].ModTime()) {
			return false
		}
	}
	return true
}

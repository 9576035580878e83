package health

import (
	"crypto/tls"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
)

// certFiles holds the content of certificate files, shared by all services
// that name the same files.
type certFiles struct {
	roots string
	files Files
	pools cache[*trusted]
	pairs cache[*tls.Certificate]
}

func newCertFiles(roots string, files Files) *certFiles {
	if files == nil {
		files = noCopies{}
	}
	return &certFiles{
		roots: roots, files: files,
		pools: cache[*trusted]{parse: parseTrusted, contents: map[string]*content[*trusted]{}},
		pairs: cache[*tls.Certificate]{parse: parsePair, contents: map[string]*content[*tls.Certificate]{}},
	}
}

type noCopies struct{}

func (noCopies) TrustedFile(file string) string { return file }

func (noCopies) KeyPair(cert, key string) (certCopy, keyCopy string) { return cert, key }

// tlsConfig gives the TLS settings that nginx has for traffic: see tlsDefaults and
// serviceTLS in package nginxgen.
func (t *certFiles) tlsConfig(spec Spec) (*tls.Config, error) {
	config := &tls.Config{
		ServerName: spec.ServerName, MinVersion: tls.VersionTLS12, CipherSuites: cipherSuites(),
		// Go and OpenSSL judge some certificates differently, so verify checks everything.
		InsecureSkipVerify: true, //nolint:gosec // see VerifyConnection
	}
	if spec.GRPC {
		config.NextProtos = []string{"h2"}
	}
	if spec.TLS.ClientCertFile != "" {
		pair, err := t.pair(spec.TLS.ClientCertFile, spec.TLS.ClientKeyFile)
		if err != nil {
			return nil, fmt.Errorf("client certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{*pair}
	}
	if !spec.TLS.Verify {
		return config, nil
	}
	trusted, err := t.trusted(spec.TLS.CAFile)
	config.VerifyConnection = func(state tls.ConnectionState) error { return verify(state, trusted, spec.ServerName) }
	return config, err
}

// cipherSuites are Go's defaults and those with an RSA key exchange, which OpenSSL
// has and Go leaves out.
func cipherSuites() []uint16 {
	suites := []uint16{
		tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_RSA_WITH_AES_128_CBC_SHA256,
		tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_256_CBC_SHA,
		tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256,
	}
	for _, suite := range tls.CipherSuites() {
		suites = append(suites, suite.ID)
	}
	return suites
}

// trusted gives nil for the system's root certificates.
func (t *certFiles) trusted(file string) (*trusted, error) {
	if file == "" {
		file = t.roots
	}
	if file == "" {
		return nil, nil
	}
	found, err := t.pools.get(file, t.files.TrustedFile(file))
	if err != nil {
		return nil, fmt.Errorf("trusted certificates: %w", err)
	}
	return found, nil
}

func (t *certFiles) pair(cert, key string) (*tls.Certificate, error) {
	certCopy, keyCopy := t.files.KeyPair(cert, key)
	return t.pairs.get(cert+"\x00"+key, certCopy, keyCopy)
}

func parsePair(texts [][]byte) (*tls.Certificate, error) {
	pair, err := tls.X509KeyPair(texts[0], texts[1])
	return &pair, err
}

// cache reads files once, and again when one of them has changed.
type cache[T any] struct {
	parse    func(texts [][]byte) (T, error)
	mu       sync.Mutex
	contents map[string]*content[T]
}

type content[T any] struct {
	value T
	files []string
	infos []fs.FileInfo // of the files when value was read
	err   error         // of the last reading
	valid bool          // value was read at least once
}

// get gives the parsed content of the files, which may be others than before for
// the same name. While they cannot be read, it gives the last content.
func (c *cache[T]) get(name string, files ...string) (T, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	current := c.contents[name]
	if current == nil {
		current = &content[T]{}
		c.contents[name] = current
	}
	infos, err := stat(files)
	if err != nil || !slices.Equal(files, current.files) || !same(infos, current.infos) {
		current.read(files, infos, c.parse)
	}
	if current.valid {
		return current.value, nil
	}
	return current.value, current.err
}

func (c *content[T]) read(files []string, infos []fs.FileInfo, parse func([][]byte) (T, error)) {
	texts := make([][]byte, len(files))
	for i, file := range files {
		if texts[i], c.err = os.ReadFile(file); c.err != nil {
			return
		}
	}
	value, err := parse(texts)
	if err != nil {
		c.err = fmt.Errorf("read %s: %w", files[0], err)
		return
	}
	c.value, c.files, c.infos, c.valid = value, files, infos, true
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

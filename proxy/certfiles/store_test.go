package certfiles

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/nginxgen"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bed has a CA file, a client certificate with its key, and a Store for a table
// with them.
type bed struct {
	*Store
	t             *testing.T
	source        string // directory of the files
	ca, cert, key string
	table         *migration.Table
}

func newBed(t *testing.T) *bed {
	t.Helper()
	dir := t.TempDir()
	b := &bed{
		t: t, source: dir, ca: filepath.Join(dir, "ca.crt"), cert: filepath.Join(dir, "tls.crt"), key: filepath.Join(dir, "tls.key"),
		Store: New(Options{Dir: filepath.Join(dir, "copies"), Interval: time.Millisecond}),
	}
	backend := migration.Backend{Scheme: migration.HTTPS, Host: "192.0.2.1", Port: 443}
	row := migration.Service{
		Name: "api", OldHost: "api.example.com", PathPrefix: "/", OldBackend: backend, NewBackend: backend,
		TLS: migration.TLS{Verify: true, CAFile: b.ca, ClientCertFile: b.cert, ClientKeyFile: b.key},
	}
	var err error
	b.table, err = migration.NewTable(migration.Global{}, []migration.Service{row})
	require.NoError(t, err)
	return b
}

// issue gives the PEM of a new authority, and of a client certificate and its key.
func (b *bed) issue(name string) (ca, cert, key string) {
	b.t.Helper()
	authority, err := testbed.NewAuthority()
	require.NoError(b.t, err)
	client, err := authority.Client(name)
	require.NoError(b.t, err)
	certFile, keyFile, err := testbed.WritePair(b.t.TempDir(), name, client)
	require.NoError(b.t, err)
	return string(authority.PEM()), b.read(certFile), b.read(keyFile)
}

func (b *bed) read(file string) string {
	b.t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(b.t, err)
	return string(text)
}

// write replaces a file, as cert-manager's users do.
func (b *bed) write(file, text string) {
	b.t.Helper()
	require.NoError(b.t, os.WriteFile(file+"~", []byte(text), 0o600))
	require.NoError(b.t, os.Rename(file+"~", file))
}

func (b *bed) writeAll(name string) {
	b.t.Helper()
	ca, cert, key := b.issue(name)
	b.write(b.ca, ca)
	b.write(b.cert, cert)
	b.write(b.key, key)
}

func (b *bed) need() nginxgen.Files { return b.Need(b.table) }

// requireCopies asserts that the copies have the content of the files.
func (b *bed) requireCopies(files nginxgen.Files) {
	b.t.Helper()
	pair := files.Pair(nginxgen.KeyPair{Cert: b.cert, Key: b.key})
	for source, copied := range map[string]string{b.ca: files.TrustedFile(b.ca), b.cert: pair.Cert, b.key: pair.Key} {
		require.NotEqual(b.t, source, copied)
		require.Equal(b.t, b.read(source), b.read(copied))
		info, err := os.Stat(copied)
		require.NoError(b.t, err)
		require.Equal(b.t, os.FileMode(0o600), info.Mode().Perm())
	}
	require.Empty(b.t, b.problem())
}

func (b *bed) problem() string { return b.Problem(b.table.Service("api").TLS) }

func (b *bed) changes() bool {
	select {
	case <-b.Changed():
		return true
	default:
		return false
	}
}

func TestRenewedFilesAreOtherCopies(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.writeAll("one")
	first := b.need()
	b.requireCopies(first)
	b.look()
	require.False(t, b.changes(), "nothing has changed")
	b.write(b.cert, b.read(b.cert)) // another file with the same content
	b.look()
	require.False(t, b.changes(), "a reload for the same content")
	b.writeAll("two")
	b.look()
	require.True(t, b.changes())
	second := b.need()
	b.requireCopies(second)
	require.False(t, second.Equal(first))
	require.NoError(t, b.Prune(first))
	b.requireCopies(second)
	require.FileExists(t, first.TrustedFile(b.ca), "named")
	require.NoError(t, b.Prune())
	require.NoFileExists(t, first.TrustedFile(b.ca))
	b.requireCopies(second)
}

// TestBrokenFilesStopNothing also after a restart of the agent.
func TestBrokenFilesStopNothing(t *testing.T) {
	t.Parallel()
	_, otherCert, otherKey := newBed(t).issue("other")
	for name, breaks := range map[string]struct {
		do   func(b *bed)
		says string
	}{
		"no PEM":             {func(b *bed) { b.write(b.cert, "garbage") }, "tls.crt and "},
		"empty":              {func(b *bed) { b.write(b.key, "") }, "are not a certificate and its key: "},
		"key of another":     {func(b *bed) { b.write(b.key, otherKey) }, "private key does not match public key"},
		"certificate first":  {func(b *bed) { b.write(b.cert, otherCert) }, "private key does not match public key"},
		"half a certificate": {func(b *bed) { b.write(b.cert, b.read(b.cert)[:200]) }, "are not a certificate and its key: "},
		"gone":               {func(b *bed) { require.NoError(b.t, os.Remove(b.cert)) }, "no such file or directory"},
		"CA without PEM":     {func(b *bed) { b.write(b.ca, "garbage") }, "ca.crt has no certificate in PEM"},
		"CA gone":            {func(b *bed) { require.NoError(b.t, os.Remove(b.ca)) }, "no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			b.writeAll("one")
			first := b.need()
			breaks.do(b)
			b.look()
			require.Empty(t, b.problem(), "it may be in the middle of a change")
			b.look()
			require.Contains(t, b.problem(), breaks.says)
			require.False(t, b.changes())
			require.True(t, b.need().Equal(first))
			b.Store = New(b.options)
			require.True(t, b.need().Equal(first), "after a restart")
			b.look()
			require.Contains(t, b.problem(), breaks.says)
			b.writeAll("two")
			b.look()
			require.True(t, b.changes())
			b.requireCopies(b.need())
		})
	}
}

// TestSecretMount: Kubernetes swaps a symlink, and the names of the files stay.
func TestSecretMount(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	mount := func(version string) {
		folder := filepath.Join(b.source, version)
		require.NoError(t, os.Mkdir(folder, 0o755))
		ca, cert, key := b.issue(version)
		for name, text := range map[string]string{"ca.crt": ca, "tls.crt": cert, "tls.key": key} {
			require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600))
		}
		require.NoError(t, os.Symlink(version, filepath.Join(b.source, "..data_tmp")))
		require.NoError(t, os.Rename(filepath.Join(b.source, "..data_tmp"), filepath.Join(b.source, "..data")))
	}
	mount("..one")
	for _, name := range []string{"ca.crt", "tls.crt", "tls.key"} {
		require.NoError(t, os.Symlink(filepath.Join("..data", name), filepath.Join(b.source, name)))
	}
	first := b.need()
	b.requireCopies(first)
	mount("..two")
	require.NoError(t, os.RemoveAll(filepath.Join(b.source, "..one")))
	b.look()
	require.True(t, b.changes())
	b.requireCopies(b.need())
}

// TestFilesThatComeLater are passed on by their names until then, so that nginx
// says what is missing.
func TestFilesThatComeLater(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	require.Equal(t, b.ca, b.need().TrustedFile(b.ca))
	b.look()
	require.Contains(t, b.problem(), "no such file or directory")
	b.writeAll("one")
	b.look()
	require.True(t, b.changes())
	b.requireCopies(b.need())
}

// TestCopiesThatNginxRefuses: nginx may refuse what Go accepts, such as a short key.
func TestCopiesThatNginxRefuses(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.writeAll("one")
	first := b.need()
	require.False(t, b.Refuse(first, "ee key too small"), "there is none before it")
	b.writeAll("two")
	b.look()
	second := b.need()
	require.False(t, second.Equal(first))
	require.True(t, b.Refuse(second, "ee key too small"))
	require.True(t, b.need().Equal(first))
	require.Contains(t, b.problem(), "ee key too small")
	b.write(b.cert, b.read(b.cert))
	b.look()
	require.True(t, b.need().Equal(first), "the same content again")
	b.writeAll("three")
	b.requireCopies(b.need())
}

func TestFilesOfTheSystem(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.options.System = []string{b.ca}
	b.Store = New(b.options)
	b.writeAll("one")
	files := b.Need(nil)
	require.True(t, strings.HasPrefix(files.TrustedFile(b.ca), b.options.Dir))
	require.Empty(t, files.Pairs, "no table needs them")
	b.write(b.ca, "")
	b.look()
	b.look()
	require.Contains(t, b.SystemProblem(), "has no certificate in PEM")
}

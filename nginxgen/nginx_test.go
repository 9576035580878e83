package nginxgen_test

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/nginxgen"
)

func nginxVersion(t testing.TB) nginxgen.Version {
	out, err := exec.Command(testbed.Nginx(), "-v").CombinedOutput()
	require.NoError(t, err, "%s", out)
	version, err := nginxgen.ParseVersion(string(out))
	require.NoError(t, err)
	return version
}

// standardParams gives the params of a pod, so that goldens look like the configs
// of users.
func standardParams(version nginxgen.Version) nginxgen.Params {
	return nginxgen.Params{
		RuntimeDir: "/run/migration-proxy",
		Listen:     netip.MustParseAddrPort("0.0.0.0:8000"),
		ListenNew:  netip.MustParseAddrPort("0.0.0.0:8001"),
		ListenGRPC: netip.MustParseAddrPort("0.0.0.0:8002"),
		Workers:    2,
		ErrorLog:   "stderr",
		Version:    version,
		CAFile:     "/etc/ssl/certs/ca-certificates.crt",
		CADir:      "/etc/ssl/certs",
		AnchorFile: "/run/migration-proxy/anchor.pem",
	}
}

// testEndpoints gives each backend an address: the backend's own if it is a
// literal address, else the next of 192.0.2.0/24 (for documentation).
func testEndpoints(table *migration.Table) nginxgen.Endpoints {
	endpoints := nginxgen.Endpoints{}
	next := netip.MustParseAddr("192.0.2.1")
	for _, s := range table.Services() {
		for _, backend := range s.Backends() {
			if _, known := endpoints[backend]; known {
				continue
			}
			addr, literal := backend.Addr()
			if !literal {
				addr, next = next, next.Next()
			}
			endpoints[backend] = []netip.AddrPort{netip.AddrPortFrom(addr, backend.Port)}
		}
	}
	return endpoints
}

// machine is the file system of a pod below a temporary directory.
type machine struct{ dir, ca, cert, key string }

func newMachine(t testing.TB) machine {
	dir, err := os.MkdirTemp("", "mp") // short: the path of a unix socket has at most 107 bytes
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Mkdir(filepath.Join(dir, "temp"), 0o755))
	authority, err := testbed.NewAuthority()
	require.NoError(t, err)
	certificate, err := authority.Client("migration-proxy")
	require.NoError(t, err)
	ca, err := authority.WriteCA(dir)
	require.NoError(t, err)
	cert, key, err := testbed.WritePair(dir, "client", certificate)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "anchor.pem"), authority.PEM(), 0o600))
	own, err := authority.Server(nginxgen.StandbyName)
	require.NoError(t, err)
	standbyCert, standbyKey, err := testbed.WritePair(dir, "own", own)
	require.NoError(t, err)
	require.NoError(t, os.Rename(standbyCert, filepath.Join(dir, nginxgen.StandbyCert)))
	require.NoError(t, os.Rename(standbyKey, filepath.Join(dir, nginxgen.StandbyKey)))
	return machine{dir, ca, cert, key}
}

// requireAccepted runs nginx -t on a text made with standardParams. A warning
// fails the test too.
func (m machine) requireAccepted(t testing.TB, text []byte) {
	t.Helper()
	moved := strings.NewReplacer(
		"/run/migration-proxy", m.dir,
		"/etc/ssl/certs/ca-certificates.crt", m.ca,
		"/etc/migration-proxy/ca.pem", m.ca,
		"/etc/migration-proxy/client.pem", m.cert,
		"/etc/migration-proxy/client.key", m.key,
		"listen 0.0.0.0:", "listen 127.0.0.1:",
		"listen [::]:", "listen [::1]:",
		"user nginx;", "", // only root may set it
	).Replace(string(text))
	conf := filepath.Join(m.dir, "nginx.conf")
	require.NoError(t, os.WriteFile(conf, []byte(moved), 0o600))
	command := exec.Command(testbed.Nginx(), "-t", "-q", "-p", m.dir, "-e", "stderr", "-c", conf)
	out, err := command.CombinedOutput()
	require.NoError(t, err, "nginx -t: %s", out)
	require.Empty(t, string(out), "nginx -t warns")
}

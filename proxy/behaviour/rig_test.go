package behaviour

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/nginxgen"
	"github.com/migration-proxy/migration-proxy/proxy/weights"
)

func nginxVersion(t testing.TB) nginxgen.Version {
	out, err := exec.Command(testbed.Nginx(), "-v").CombinedOutput()
	require.NoError(t, err, "%s", out)
	version, err := nginxgen.ParseVersion(string(out))
	require.NoError(t, err)
	return version
}

// rig is one nginx that serves one table.
type rig struct {
	table   *migration.Table
	params  nginxgen.Params
	store   *weights.Store
	tripped map[migration.Name]bool
}

func newParams(t testing.TB) nginxgen.Params {
	dir, err := os.MkdirTemp("", "mp") // short: a unix socket's path has 107 bytes
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "temp"), 0o755))
	anchor := filepath.Join(dir, "anchor.pem")
	authority, err := testbed.NewAuthority()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(anchor, authority.PEM(), 0o644))
	return nginxgen.Params{
		RuntimeDir: dir, Listen: freeAddress(t), ListenNew: freeAddress(t), Workers: 1,
		ErrorLog: filepath.Join(dir, "error.log"), Version: nginxVersion(t), CAFile: anchor,
	}
}

func freeAddress(t testing.TB) netip.AddrPort {
	port, err := testbed.FreePort()
	require.NoError(t, err)
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port))
}

// literalEndpoints serves backends that are IP addresses; the others are down.
func literalEndpoints(table *migration.Table) nginxgen.Endpoints {
	endpoints := nginxgen.Endpoints{}
	for _, s := range table.Services() {
		for _, backend := range []migration.Backend{s.OldBackend, s.NewBackend} {
			if addr, ok := backend.Addr(); ok {
				endpoints[backend] = []netip.AddrPort{netip.AddrPortFrom(addr, backend.Port)}
			}
		}
	}
	return endpoints
}

// startRig starts nginx for the table and waits until it serves it.
func startRig(t *testing.T, table *migration.Table, tripped map[migration.Name]bool) *rig {
	return startRigAt(t, table, literalEndpoints(table), tripped)
}

// startRigAt is startRig with the addresses that backends resolved to.
func startRigAt(t *testing.T, table *migration.Table, endpoints nginxgen.Endpoints, tripped map[migration.Name]bool) *rig {
	r := &rig{table: table, params: newParams(t), tripped: tripped}
	r.start(t, endpoints)
	return r
}

func (r *rig) start(t *testing.T, endpoints nginxgen.Endpoints) {
	config, err := nginxgen.Generate(r.table, endpoints, r.params)
	require.NoError(t, err)
	r.store, err = weights.Open(r.params.RuntimeDir)
	require.NoError(t, err)
	require.NoError(t, r.store.AddRules(config.Rules))
	for _, s := range r.table.Services() {
		require.NoError(t, r.store.Apply(s.Name, weights.State{Share: s.Share, Enabled: s.Enabled, Tripped: r.tripped[s.Name]}))
	}
	r.run(t, config)
}

// run starts nginx, waits until it serves the config, and ends it with the
// test.
func (r *rig) run(t *testing.T, config nginxgen.Config) {
	params := r.params
	conf := filepath.Join(params.RuntimeDir, "nginx.conf")
	require.NoError(t, os.WriteFile(conf, config.Text, 0o644))
	require.NoError(t, os.Mkdir(filepath.Join(params.RuntimeDir, "serving"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(params.RuntimeDir, "serving", config.Digest), nil, 0o644))
	command := exec.Command(testbed.Nginx(), "-p", params.RuntimeDir, "-e", "stderr", "-c", conf)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	require.NoError(t, command.Start())
	exited := make(chan struct{})
	go func() { defer close(exited); _ = command.Wait() }()
	t.Cleanup(func() {
		_ = command.Process.Signal(os.Interrupt)
		<-exited
		if t.Failed() {
			errors, _ := os.ReadFile(params.ErrorLog)
			t.Logf("nginx said: %s%s", stderr.String(), errors)
		}
	})
	for deadline := time.After(20 * time.Second); r.digest() != config.Digest; {
		select {
		case <-exited:
			require.Fail(t, "nginx does not start", "%s", &stderr)
		case <-deadline:
			require.Fail(t, "nginx does not serve")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (r *rig) digest() string {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(r.params.RuntimeDir, "admin.sock"))
	}}}
	response, err := client.Get("http://admin/digest")
	if err != nil {
		return ""
	}
	defer func() { _ = response.Body.Close() }()
	body, _ := io.ReadAll(response.Body)
	return string(bytes.TrimSpace(body))
}

// nginxAccepts runs nginx -t; a warning is a refusal.
func nginxAccepts(t testing.TB, table *migration.Table, params nginxgen.Params) error {
	config, err := nginxgen.Generate(table, literalEndpoints(table), params)
	require.NoError(t, err)
	conf := filepath.Join(params.RuntimeDir, "nginx.conf")
	require.NoError(t, os.WriteFile(conf, config.Text, 0o644))
	out, err := exec.Command(testbed.Nginx(), "-t", "-q", "-p", params.RuntimeDir, "-e", "stderr", "-c", conf).CombinedOutput()
	if err != nil || len(out) > 0 {
		return fmt.Errorf("nginx -t: %v: %s\n%s", err, out, config.Text)
	}
	return nil
}

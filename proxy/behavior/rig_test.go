package behavior

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/nginxgen"
	"github.com/migration-proxy/migration-proxy/proxy/nginx"
	"github.com/migration-proxy/migration-proxy/proxy/weights"
)

func nginxVersion(t testing.TB) nginxgen.Version { return nginxBinary(t).Version }

func nginxBinary(t testing.TB) *nginx.Nginx {
	binary, err := findNginx()
	require.NoError(t, err)
	return binary
}

// findNginx asks nginx once: to ask takes two processes.
var findNginx = sync.OnceValues(func() (*nginx.Nginx, error) {
	return nginx.Find(context.Background(), testbed.Nginx(), "")
})

// loadTable loads a valid migration config.
func loadTable(t testing.TB, text string) *migration.Table {
	table, err := config.Load("migration.yaml", []byte(text))
	require.NoError(t, err, text)
	return table
}

// serviceText is the config of a service NAME with the host NAME.example.com.
// more is YAML of the service, with its indentation and final line break.
func serviceText(name, oldBackend, newBackend, more string) string {
	return fmt.Sprintf(`
  - name: %[1]s
    old_host: %[1]s.example.com
    old_backend: %[2]s
    new_host: %[3]s
    new_backend: %[4]s
%[5]s`, name, oldBackend, newHost, newBackend, more)
}

// allNew sends all traffic of a service to new.
const allNew = "    migration: {enabled: true, percentage: 100}\n"

// rig is an nginx that serves a table.
type rig struct {
	table   *migration.Table
	params  nginxgen.Params
	store   *weights.Store
	tripped map[migration.Name]bool
	more    string // directives for the http block
}

func newParams(t testing.TB) nginxgen.Params {
	dir, err := os.MkdirTemp("", "mp") // short: the path of a unix socket has at most 107 bytes
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "temp"), 0o755))
	anchor := filepath.Join(dir, "anchor.pem")
	authority, err := testbed.NewAuthority()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(anchor, authority.PEM(), 0o644))
	require.NoError(t, nginx.EnsureStandbyCertificate(dir))
	found := nginxBinary(t)
	return nginxgen.Params{
		RuntimeDir: dir, Listen: freeAddress(t), ListenNew: freeAddress(t), ListenGRPC: freeAddress(t), Workers: 1,
		ErrorLog: filepath.Join(dir, "error.log"), Version: found.Version, PCREJIT: found.PCREJIT, CAFile: anchor,
	}
}

func freeAddress(t testing.TB) netip.AddrPort {
	port, err := testbed.FreePort()
	require.NoError(t, err)
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port))
}

// literalEndpoints resolves only the backends that are IP addresses.
func literalEndpoints(table *migration.Table) nginxgen.Endpoints {
	endpoints := nginxgen.Endpoints{}
	for _, s := range table.Services() {
		for _, backend := range s.Backends() {
			if addr, ok := backend.Addr(); ok {
				endpoints[backend] = []netip.AddrPort{netip.AddrPortFrom(addr, backend.Port)}
			}
		}
	}
	return endpoints
}

// startRig starts an nginx that serves the table.
func startRig(t *testing.T, table *migration.Table, tripped map[migration.Name]bool) *rig {
	return startRigAt(t, table, literalEndpoints(table), tripped)
}

// startRigBehind is startRig for a proxy to which only ingress controllers send
// requests.
func startRigBehind(t *testing.T, table *migration.Table) *rig {
	r := &rig{table: table, params: newParams(t)}
	r.params.BehindControllers = true
	r.start(t, literalEndpoints(table))
	return r
}

// startRigAt is startRig with the addresses of the backends.
func startRigAt(t *testing.T, table *migration.Table, endpoints nginxgen.Endpoints, tripped map[migration.Name]bool) *rig {
	r := &rig{table: table, params: newParams(t), tripped: tripped}
	r.start(t, endpoints)
	return r
}

func (r *rig) start(t *testing.T, endpoints nginxgen.Endpoints) {
	generated, err := nginxgen.Generate(r.table, endpoints, r.params)
	require.NoError(t, err)
	r.store, err = weights.Open(r.params.RuntimeDir)
	require.NoError(t, err)
	require.NoError(t, r.store.AddRules(generated.Rules))
	for _, s := range r.table.Services() {
		require.NoError(t, r.store.Apply(s.Name, weights.State{Share: s.Share, Enabled: s.Enabled, Tripped: r.tripped[s.Name]}))
	}
	r.run(t, generated)
}

// run starts nginx and waits until it serves the config.
func (r *rig) run(t *testing.T, generated nginxgen.Config) {
	params := r.params
	require.NoError(t, os.Mkdir(filepath.Join(params.RuntimeDir, "serving"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(params.RuntimeDir, "serving", generated.Digest), nil, 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(params.RuntimeDir, "cache-on"), nil, 0o644))
	exited := startNginx(t, params.RuntimeDir, strings.Replace(withDice(string(generated.Text)), "\nhttp {\n", "\nhttp {\n"+r.more+"\n", 1))
	server := nginx.Nginx{Dir: params.RuntimeDir}
	for deadline := time.After(patience); ; {
		if digest, err := server.Digest(t.Context()); err == nil && digest == generated.Digest {
			return
		}
		select {
		case <-exited:
			require.Fail(t, "nginx does not start")
		case <-deadline:
			require.Fail(t, "nginx does not serve the config")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// diceHeader shows what nginx hashes for a request without a user.
const diceHeader = "X-Test-Dice"

var diceText = regexp.MustCompile(`split_clients (\S+) \$mp_dice_high`)

// withDice adds diceHeader where the debug headers are.
func withDice(text string) string {
	const debug = "add_header X-Migration-Side "
	return strings.ReplaceAll(text, debug, "add_header "+diceHeader+" "+diceText.FindStringSubmatch(text)[1]+" always;\n"+debug)
}

// startNginx runs nginx with a config until the test ends.
func startNginx(t *testing.T, dir, text string) (exited <-chan struct{}) {
	conf := filepath.Join(dir, "nginx.conf")
	require.NoError(t, os.WriteFile(conf, []byte(text), 0o600))
	command := exec.Command(testbed.Nginx(), "-p", dir, "-e", "stderr", "-c", conf)
	command.Env = []string{}
	var stderr bytes.Buffer
	command.Stderr = &stderr
	require.NoError(t, command.Start())
	done := make(chan struct{})
	go func() { defer close(done); _ = command.Wait() }()
	t.Cleanup(func() {
		_ = command.Process.Signal(os.Interrupt)
		<-done
		if t.Failed() {
			errorLog, _ := os.ReadFile(filepath.Join(dir, "error.log"))
			t.Logf("nginx: %s%s", stderr.String(), errorLog)
		}
	})
	return done
}

// awaitListener waits until a server listens on the address.
func awaitListener(t *testing.T, address string) {
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, patience, quick)
}

// workers lists the process ids of the workers of the nginx in a directory.
func workers(t testing.TB, dir string) string {
	pid, err := os.ReadFile(filepath.Join(dir, "nginx.pid"))
	require.NoError(t, err)
	master := strings.TrimSpace(string(pid))
	children, err := os.ReadFile(filepath.Join("/proc", master, "task", master, "children"))
	require.NoError(t, err)
	require.NotEmpty(t, children)
	return string(children)
}

// nginxAccepts runs nginx -t. A warning is an error.
func nginxAccepts(t testing.TB, table *migration.Table, params nginxgen.Params) error {
	generated, err := nginxgen.Generate(table, literalEndpoints(table), params)
	require.NoError(t, err)
	conf := filepath.Join(params.RuntimeDir, "nginx.conf")
	require.NoError(t, os.WriteFile(conf, generated.Text, 0o644))
	out, err := exec.Command(testbed.Nginx(), "-t", "-q", "-p", params.RuntimeDir, "-e", "stderr", "-c", conf).CombinedOutput()
	if err != nil || len(out) > 0 {
		return errors.Join(err, fmt.Errorf("nginx -t: %s\n%s", out, generated.Text))
	}
	return nil
}

package dataplane

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/internal/listen"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/migration-proxy/migration-proxy/proxy/breaker"
	"github.com/migration-proxy/migration-proxy/proxy/configsync"
)

// timeout is how long a test waits for a condition.
const timeout = 20 * time.Second

// rig is a data plane in the test's process, with the file that it serves and
// two backends.
type rig struct {
	*dataPlane
	file     string
	old, new *testbed.Backend
	t        *testing.T
}

// newRig makes a rig that serves the services; it does not run yet. Linger is
// that of the source.
func newRig(t *testing.T, linger time.Duration, services ...string) *rig {
	t.Helper()
	return newRigWith(t, Options{}, linger, services...)
}

// newRigWith is newRig with some options.
func newRigWith(t *testing.T, options Options, linger time.Duration, services ...string) *rig {
	t.Helper()
	dir, err := os.MkdirTemp("", "mp") // short: a unix socket's path has 107 bytes
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	r := &rig{file: filepath.Join(dir, "c.yaml"), t: t, old: startBackend(t, "old"), new: startBackend(t, "new")}
	options.Source = lingeringFile{configsync.NewFile(r.file), linger}
	options.RuntimeDir, options.AccessLog = filepath.Join(dir, "run"), AccessLogOff
	options.Nginx, options.Workers, options.Log = testbed.Nginx(), 1, slog.New(slog.DiscardHandler)
	for _, address := range []*listen.Address{&options.Listen, &options.ListenNew, &options.HTTP} {
		port, err := testbed.FreePort()
		require.NoError(t, err)
		require.NoError(t, address.Set(fmt.Sprintf("127.0.0.1:%d", port)))
	}
	r.write(services...)
	r.dataPlane, err = newDataPlane(t.Context(), options)
	require.NoError(t, err)
	return r
}

// lingeringFile is a file with the linger of a ConfigMap.
type lingeringFile struct {
	*configsync.File
	linger time.Duration
}

func (l lingeringFile) Linger() time.Duration { return l.linger }

func startBackend(t *testing.T, name string) *testbed.Backend {
	t.Helper()
	backend, err := testbed.Start(testbed.Options{Name: name})
	require.NoError(t, err)
	t.Cleanup(backend.Kill)
	return backend
}

// write replaces the file. OLD and NEW in the services are the backends.
func (r *rig) write(services ...string) {
	r.t.Helper()
	urls := map[string]string{"OLD": r.old.URL(), "NEW": r.new.URL()}
	text := os.Expand("services:\n"+strings.Join(services, ""), func(name string) string { return urls[name] })
	require.NoError(r.t, os.WriteFile(r.file+".tmp", []byte(text), 0o644))
	require.NoError(r.t, os.Rename(r.file+".tmp", r.file))
}

// start runs the data plane until the test ends.
func (r *rig) start() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.run(ctx) }()
	r.t.Cleanup(func() {
		cancel()
		require.NoError(r.t, <-ended)
	})
}

func (r *rig) awaitStatus(description string, condition func(status.Status) bool) {
	r.t.Helper()
	r.eventually(description, func() bool { return condition(r.status()) })
}

func (r *rig) eventually(description string, condition func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(timeout); !condition(); time.Sleep(20 * time.Millisecond) {
		require.True(r.t, time.Now().Before(deadline), "%s: not within %s: %+v", description, timeout, r.status())
	}
}

func inForce(s status.Status) bool { return s.Ready && s.Config.InSync() }

func rejected(s status.Status) bool { return s.Config.Rejected != nil }

// service is a service with a health check of the path.
func service(name string, percentage int, healthPath string) string {
	return fmt.Sprintf(`  - name: %[1]s
    old_host: %[1]s.example.com
    old_backend: ${OLD}
    new_host: %[1]s.new.example.com
    new_backend: ${NEW}
    migration: {enabled: true, percentage: %[2]d}
    health_check: {path: %[3]s, interval: 20ms, unhealthy: 1}
`, name, percentage, healthPath)
}

// invalidForNginx is a service that loads and that nginx refuses.
const invalidForNginx = `  - name: impossible
    old_host: impossible.example.com
    old_backend: ${OLD}
    new_host: impossible.new.example.com
    new_backend: https://192.0.2.1
    tls: {ca_file: /no/such/ca.pem}
`

// TestTrafficWithoutControlSocket: while the control socket cannot be made, the
// proxy serves; afterwards it obeys commands.
func TestTrafficWithoutControlSocket(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0, service("shop", 50, "/healthz"))
	dir := r.options.RuntimeDir
	obstacle := filepath.Join(dir, "control", "sock", "file")
	require.NoError(t, os.MkdirAll(obstacle, 0o755))
	r.start()
	r.awaitStatus("in force", inForce)
	require.ErrorContains(t, breaker.SendCommand(t.Context(), dir, breaker.Order{Command: fallback.Trip, Service: "shop", By: "me"}), "no agent answers")
	require.NoError(t, os.Remove(obstacle))
	r.eventually("a command is obeyed", func() bool {
		return breaker.SendCommand(t.Context(), dir, breaker.Order{Command: fallback.Trip, Service: "shop", By: "me"}) == nil
	})
}

// TestRejectedConfigHasNoEffectOnTheBreaker: the health checks and the stored
// fallbacks belong to the config in force, not to one that nginx refused.
func TestRejectedConfigHasNoEffectOnTheBreaker(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0, service("shop", 50, "/healthz"), service("gone", 50, "/healthz"))
	r.start()
	r.awaitStatus("in force", inForce)
	require.NoError(t, r.breaker.Command(breaker.Order{Command: "trip", Service: "gone", By: "test"}, time.Now()))

	r.write(service("shop", 50, "/do/status/500"), invalidForNginx)
	r.awaitStatus("rejected", rejected)
	before := r.new.Count(http.MethodGet, "/healthz", "")
	r.eventually("the health check in force goes on", func() bool {
		return r.new.Count(http.MethodGet, "/healthz", "") > before+10
	})
	require.Zero(t, r.new.Count(http.MethodGet, "/do/status/500", ""))
	require.NoError(t, r.breaker.Command(breaker.Order{Command: "clear", Service: "gone", By: "test"}, time.Now()), "it is served, so it can recover")
}

// TestARemovedServiceIsAnsweredByOld: the ingress controller may learn later
// than the proxy that an Ingress no longer points to the proxy.
func TestARemovedServiceIsAnsweredByOld(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2*time.Second, service("shop", 50, "/healthz"), service("gone", 100, "/healthz"))
	r.start()
	r.awaitStatus("in force", inForce)
	get := func(path string) int {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.options.Listen.String()+path, nil)
		require.NoError(t, err)
		request.Host = "gone.example.com"
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		return response.StatusCode
	}
	require.Equal(t, http.StatusOK, get("/before"))
	require.Equal(t, 1, r.new.Count(http.MethodGet, "/before", ""))

	digest := r.status().Config.Digest
	r.write(service("shop", 50, "/healthz"))
	r.awaitStatus("in force", func(s status.Status) bool { return inForce(s) && s.Config.Digest != digest })
	require.Equal(t, http.StatusOK, get("/after"))
	require.Equal(t, 1, r.old.Count(http.MethodGet, "/after", ""))
	r.eventually("the service is no longer known", func() bool { return get("/later") == http.StatusMisdirectedRequest })
}

// TestOthersCannotRead: the config has the values of header rules, and a user who can write
// to the failure socket can end a migration.
func TestOthersCannotRead(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0, service("shop", 50, "/healthz"))
	r.start()
	r.awaitStatus("in force", inForce)
	mode := func(name string) string {
		info, err := os.Stat(r.runtimeFile(name))
		require.NoError(t, err)
		return info.Mode().String()
	}
	r.eventually("the failure socket is there", func() bool { _, err := os.Stat(r.runtimeFile("failures.sock")); return err == nil })
	directory := "drwx------"
	if os.Geteuid() == 0 {
		directory = "drwx--x--x" // for nginx's workers
	}
	require.Equal(t, directory, mode(""))
	require.Equal(t, "drwx------", mode("conf"))
	require.Equal(t, "-rw-------", mode("current/nginx.conf"))
	require.Equal(t, "Srw-------", mode("failures.sock"), "only the workers may write")
	r.eventually("the last good config is stored", func() bool { _, err := os.Stat(r.runtimeFile("last-good.yaml")); return err == nil })
	require.Equal(t, "-rw-------", mode("last-good.yaml"))
}

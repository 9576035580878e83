package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/migration-proxy/migration-proxy/proxy/breaker"
)

func TestCannotListen(t *testing.T) {
	t.Parallel()
	err := cannotListen("listen", &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", syscall.EACCES)})
	require.EqualError(t, err, "listen: bind: permission denied; low ports need CAP_NET_BIND_SERVICE: choose one from 1024 up with --listen or $MIGRATION_PROXY_LISTEN")
}

// planeRig is a dataPlane in this process, and the file that it serves.
type planeRig struct {
	*dataPlane
	file     string
	old, new *testbed.Backend
	t        *testing.T
}

func newPlaneRig(t *testing.T, text string) *planeRig {
	t.Helper()
	dir, err := os.MkdirTemp("", "mp") // short: a unix socket's path has 107 bytes
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	r := &planeRig{file: filepath.Join(dir, "c.yaml"), t: t, old: startBackend(t, "old"), new: startBackend(t, "new")}
	options := runOptions{
		file: r.file, runtimeDir: filepath.Join(dir, "run"), nginx: testbed.Nginx(), workerCount: 1, accessLog: "off",
	}
	for _, address := range []*listenAddress{&options.listen, &options.listenNew, &options.http} {
		port, err := testbed.FreePort()
		require.NoError(t, err)
		require.NoError(t, address.Set(fmt.Sprintf("127.0.0.1:%d", port)))
	}
	r.write(text)
	r.dataPlane, err = newDataPlane(t.Context(), options, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	return r
}

func startBackend(t *testing.T, name string) *testbed.Backend {
	t.Helper()
	backend, err := testbed.Start(testbed.Options{Name: name})
	require.NoError(t, err)
	t.Cleanup(backend.Kill)
	return backend
}

// write puts services into the file, OLD and NEW for the backends.
func (r *planeRig) write(services string) {
	r.t.Helper()
	text := os.Expand("services:\n"+services, func(name string) string {
		return map[string]string{"OLD": r.old.URL(), "NEW": r.new.URL()}[name]
	})
	require.NoError(r.t, os.WriteFile(r.file+".tmp", []byte(text), 0o644))
	require.NoError(r.t, os.Rename(r.file+".tmp", r.file))
}

// start lets it run until the test ends.
func (r *planeRig) start() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.run(ctx) }()
	r.t.Cleanup(func() {
		cancel()
		require.NoError(r.t, <-ended)
	})
}

func (r *planeRig) await(what string, condition func(status.Status) bool) {
	r.t.Helper()
	ok := poll(r.t.Context(), 20*time.Second, func() bool { return condition(r.status()) })
	require.True(r.t, ok, "waited in vain: %s: %+v", what, r.status())
}

func inForce(s status.Status) bool { return s.Ready && s.Config.InSync() }

func refused(s status.Status) bool { return s.Config.Rejected != nil }

// probed is a service whose health check asks for the path.
func probed(name, path string) string {
	return fmt.Sprintf(`  - name: %[1]s
    old_host: %[1]s.example.com
    old_backend: ${OLD}
    new_host: %[1]s.new.example.com
    new_backend: ${NEW}
    migration: {enabled: true, percentage: 50}
    health_check: {path: %[2]s, interval: 20ms, unhealthy: 1}
`, name, path)
}

// impossible is a service that loads, and that nginx refuses.
const impossible = `  - name: impossible
    old_host: impossible.example.com
    old_backend: ${OLD}
    new_host: impossible.new.example.com
    new_backend: https://192.0.2.1
    tls: {ca_file: /no/such/ca.pem}
`

// TestTrafficNeedsNoControlSocket: while the operator's socket cannot be made,
// the proxy serves; then it obeys.
func TestTrafficNeedsNoControlSocket(t *testing.T) {
	t.Parallel()
	r := newPlaneRig(t, probed("shop", "/healthz"))
	dir := r.options.runtimeDir
	inTheWay := filepath.Join(dir, "control.sock", "something")
	require.NoError(t, os.MkdirAll(inTheWay, 0o755))
	r.start()
	r.await("in force", inForce)
	require.ErrorContains(t, breaker.Send(t.Context(), dir, fallback.Trip, "shop", "me"), "no agent answers")
	require.NoError(t, os.Remove(inTheWay))
	require.True(t, poll(t.Context(), 20*time.Second, func() bool {
		return breaker.Send(t.Context(), dir, fallback.Trip, "shop", "me") == nil
	}))
}

// TestARefusedConfigGuardsNothing: what is probed, and whose fallbacks are
// remembered, is the config in force, and not the one that nginx refused.
func TestARefusedConfigGuardsNothing(t *testing.T) {
	t.Parallel()
	r := newPlaneRig(t, probed("shop", "/healthz")+probed("gone", "/healthz"))
	r.start()
	r.await("in force", inForce)
	require.NoError(t, r.guard.Command("gone", "trip", "test", time.Now()))

	r.write(probed("shop", "/do/status/500") + impossible)
	r.await("refused", refused)
	before := r.new.Count(http.MethodGet, "/healthz", "")
	require.True(t, poll(t.Context(), 20*time.Second, func() bool {
		return r.new.Count(http.MethodGet, "/healthz", "") > before+10
	}), "the health check in force goes on")
	require.Zero(t, r.new.Count(http.MethodGet, "/do/status/500", ""))
	require.NoError(t, r.guard.Command("gone", "clear", "test", time.Now()), "it is served, so it can recover")
}

// lingering is a file whose reader is not the only one to hear of a change.
type lingering struct {
	source
	linger time.Duration
}

func (l lingering) Linger() time.Duration { return l.linger }

// TestAServiceThatLeavesIsAnsweredByOld: the ingress controller hears later
// than we do that an Ingress no longer points at us.
func TestAServiceThatLeavesIsAnsweredByOld(t *testing.T) {
	t.Parallel()
	r := newPlaneRig(t, probed("shop", "/healthz")+strings.ReplaceAll(probed("gone", "/healthz"), "percentage: 50", "percentage: 100"))
	r.feed.source = lingering{r.feed.source, 2 * time.Second}
	r.start()
	r.await("in force", inForce)
	get := func(path string) int {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.options.listen.String()+path, nil)
		require.NoError(t, err)
		request.Host = "gone.example.com"
		answer, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		return answer.StatusCode
	}
	require.Equal(t, http.StatusOK, get("/before"))
	require.Equal(t, 1, r.new.Count(http.MethodGet, "/before", ""))

	digest := r.status().Config.Digest
	r.write(probed("shop", "/healthz"))
	r.await("in force", func(s status.Status) bool { return inForce(s) && s.Config.Digest != digest })
	require.Equal(t, http.StatusOK, get("/after"))
	require.Equal(t, 1, r.old.Count(http.MethodGet, "/after", ""))
	require.True(t, poll(t.Context(), 20*time.Second, func() bool { return get("/later") == http.StatusMisdirectedRequest }))
}

package proxy

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"go.uber.org/goleak"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/nginxgen"
)

// TestMain also is the agent that tests kill; see crash_test.go.
func TestMain(m *testing.M) {
	if text := os.Getenv(helperVariable); text != "" {
		os.Exit(helperAgent(text))
	}
	goleak.VerifyTestMain(m)
}

// rig is two sides, and an agent that divides traffic between them.
type rig struct {
	*Agent
	params   nginxgen.Params
	old, new string // host:port
	observer tableObserver
	t        *testing.T
}

// tableObserver receives the digests of the tables that are in force.
type tableObserver chan string

func (o tableObserver) ConfigApplied(table *migration.Table) {
	select {
	case o <- table.Digest():
	default:
	}
}

func (tableObserver) NginxLogged(string) {}

func newRig(t *testing.T) *rig {
	t.Helper()
	dir, err := os.MkdirTemp("", "proxy") // short: a unix socket's path has 107 bytes
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	params := nginxgen.Params{
		RuntimeDir: filepath.Join(dir, "run"),
		Listen:     freeAddress(t),
		ListenNew:  freeAddress(t),
		Workers:    2,
		CAFile:     certificate(t, dir),
	}
	if os.Getuid() == 0 {
		params.User = "daemon" // its group has the same name everywhere, which nginx wants
	}
	r := &rig{params: params, old: backend(t, "old"), new: backend(t, "new"), t: t}
	r.Agent = r.agent()
	return r
}

// agent makes one that Run has not yet been called of.
func (r *rig) agent() *Agent {
	r.t.Helper()
	agent, err := New(r.t.Context(), options(r.params))
	require.NoError(r.t, err)
	return agent
}

func options(params nginxgen.Params) Options {
	return Options{
		Params: params, NginxPath: testbed.Nginx(), Version: "test", Log: slog.New(slog.DiscardHandler),
		ReloadEvery: 200 * time.Millisecond, DrainTime: 50 * time.Millisecond,
		ReadbackTimeout: 4 * time.Second, QuitTimeout: time.Second,
	}
}

// run lets the agent run until the test ends, or until stop is called.
func (r *rig) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	agent := r.Agent
	done.Go(func() {
		if err := agent.Run(ctx, r.observer); err != nil {
			r.t.Error(err)
		}
	})
	stop = func() {
		cancel()
		done.Wait()
	}
	r.t.Cleanup(stop)
	return stop
}

// freeAddress is one that no outgoing connection takes while nginx is down.
func freeAddress(t *testing.T) netip.AddrPort {
	t.Helper()
	port, err := testbed.FreePort()
	require.NoError(t, err)
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port))
}

func certificate(t *testing.T, dir string) string {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	file := filepath.Join(dir, "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	require.NoError(t, os.WriteFile(file, block, 0o644))
	return file
}

// backend is a backend that answers with its name.
func backend(t *testing.T, name string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, name)
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// service is on at a share, for <name>.old.test.
func (r *rig) service(name string, share migration.Share) migration.Service {
	return service(r.t, name, share, r.old, r.new)
}

func service(t require.TestingT, name string, share migration.Share, old, new string) migration.Service {
	oldBackend, err := migration.ParseBackend(old)
	require.NoError(t, err)
	newBackend, err := migration.ParseBackend(new)
	require.NoError(t, err)
	return migration.Service{
		Name: migration.Name(name), OldHost: migration.Host(name + ".old.test"), PathPrefix: "/",
		OldBackend: oldBackend, NewBackend: newBackend, NewHost: migration.Host(name + ".new.test"),
		Mode: migration.ModeProxy, Timeout: 5 * time.Second, Tries: 1,
		Enabled: true, Strategy: migration.StrategyWeight, Share: share,
		Fallback: migration.Fallback{Enabled: true, MaxFailures: 5, OnStatus: []int{502}},
	}
}

func table(t require.TestingT, services ...migration.Service) *migration.Table {
	made, err := migration.NewTable(migration.Global{}, services)
	require.NoError(t, err)
	return made
}

// offer offers a table and waits until it is in force.
func (r *rig) offer(services ...migration.Service) {
	r.t.Helper()
	wanted := table(r.t, services...)
	r.ApplyTable(wanted, "test")
	r.await("in force", func(s status.Status) bool { return s.Config.Digest == wanted.Digest() && s.Ready })
}

func (r *rig) await(what string, condition func(status.Status) bool) status.Status {
	r.t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for time.Now().Before(deadline) {
		if now := r.Status(); condition(now) {
			return now
		}
		time.Sleep(5 * time.Millisecond)
	}
	text, err := json.MarshalIndent(r.Status(), "", " ")
	require.FailNow(r.t, "waited in vain: "+what, "%s %v", text, err)
	return status.Status{}
}

var fresh = http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}

// ask tells which side answers for a service, or the error.
func (r *rig) ask(name string) string { return ask(r.params.Listen, name) }

func ask(listen netip.AddrPort, name string) string {
	request, err := http.NewRequest(http.MethodGet, fmt.Sprintf("http://%s/", listen), nil)
	if err != nil {
		return err.Error()
	}
	request.Host = name + ".old.test"
	response, err := fresh.Do(request)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// becomes waits until a service is answered by the side.
func (r *rig) becomes(name, side string) {
	r.t.Helper()
	last := ""
	require.Eventually(r.t, func() bool { last = r.ask(name); return last == side }, 10*time.Second, 5*time.Millisecond,
		"%s is not answered by %s", name, side)
}

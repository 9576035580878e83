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

// TestMain is also the program of the agents that tests kill; see
// crash_test.go.
func TestMain(m *testing.M) {
	if text := os.Getenv(agentVariable); text != "" {
		os.Exit(runAgentProcess(text))
	}
	goleak.VerifyTestMain(m)
}

// rig is an old and a new backend, and an agent that splits traffic between
// them.
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

func (tableObserver) ShareApplied(migration.Name, migration.Share) {}

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
	r := &rig{params: params, old: startBackend(t, "old"), new: startBackend(t, "new"), t: t}
	r.Agent = r.newAgent()
	return r
}

// newAgent returns an agent that does not run yet.
func (r *rig) newAgent() *Agent {
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

// run runs the agent until the test ends or stop is called.
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

// freeAddress has a port that no outgoing connection uses while nginx is down.
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

// startBackend starts a backend that answers with its name.
func startBackend(t *testing.T, name string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, name)
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// service returns an enabled service with a share, for <name>.old.test.
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
		Mode: migration.ModeProxy, Timeout: 5 * time.Second, ConnectTimeout: 5 * time.Second, Tries: 1,
		Keepalive: migration.Keepalive{Connections: 32, Requests: 1000, Idle: time.Second},
		Enabled:   true, Strategy: migration.StrategyWeight, Share: share,
		Fallback: migration.Fallback{Enabled: true, MaxFailures: 5, OnStatus: []int{502}},
	}
}

func table(t require.TestingT, services ...migration.Service) *migration.Table {
	result, err := migration.NewTable(migration.Global{}, services)
	require.NoError(t, err)
	return result
}

// apply applies a table and waits until it is in force. A worker may answer before the
// supervisor knows its master, whose PID tests kill; 0 would be this process.
func (r *rig) apply(services ...migration.Service) {
	r.t.Helper()
	wanted := table(r.t, services...)
	r.ApplyTable(wanted, "test")
	r.waitFor("in force", func(s status.Status) bool { return s.Config.Digest == wanted.Digest() && s.Ready && s.Nginx.PID != 0 })
}

// waitFor waits for a status.
func (r *rig) waitFor(what string, condition func(status.Status) bool) status.Status {
	r.t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for time.Now().Before(deadline) {
		if now := r.Status(); condition(now) {
			return now
		}
		time.Sleep(5 * time.Millisecond)
	}
	text, err := json.MarshalIndent(r.Status(), "", " ")
	require.FailNow(r.t, "timeout: "+what, "%s %v", text, err)
	return status.Status{}
}

var withoutKeepAlive = http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}

// get returns the side that answers for a service, or the error.
func (r *rig) get(name string) string {
	request, err := http.NewRequest(http.MethodGet, fmt.Sprintf("http://%s/", r.params.Listen), nil)
	if err != nil {
		return err.Error()
	}
	request.Host = name + ".old.test"
	response, err := withoutKeepAlive.Do(request)
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

// waitForSide waits until a side answers for a service.
func (r *rig) waitForSide(name, side string) {
	r.t.Helper()
	last := ""
	require.Eventually(r.t, func() bool { last = r.get(name); return last == side }, 10*time.Second, 5*time.Millisecond,
		"%s does not answer for %s", side, name)
}

package faults

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/e2e/proxyprocess"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/migration-proxy/migration-proxy/nginxgen"
	"github.com/migration-proxy/migration-proxy/proxy"
	"github.com/migration-proxy/migration-proxy/proxy/resolve"
)

// namedBackend is a new whose name resolves to several addresses, each of which can
// fail.
type namedBackend struct {
	*nameServer
	name   string
	new    *testbed.Backend
	relays map[string]*tcpRelay // by address
	t      *testing.T
}

func (n *namedBackend) resolvesTo(addresses ...string) { n.set(n.name, addresses...) }

// dnsFault is a fault of a name or of its addresses.
type dnsFault struct {
	name      string
	addresses []string
	begin     func(*namedBackend)
	heal      func(*namedBackend)
	expect    string // in the status during the fault
	noReload  bool   // nginx needs no reload
}

var dnsFaults = []dnsFault{
	{"the name server is gone", []string{"127.0.0.1"},
		func(n *namedBackend) { n.setUnreachable(n.name, true) }, func(n *namedBackend) { n.setUnreachable(n.name, false) }, "timeout", true},
	{"NXDOMAIN", []string{"127.0.0.1"},
		func(n *namedBackend) { n.resolvesTo() }, func(n *namedBackend) { n.resolvesTo("127.0.0.1") }, "no such host", true},
	{"NXDOMAIN from the start", nil,
		func(*namedBackend) {}, func(n *namedBackend) { n.resolvesTo("127.0.0.1") }, "no such host", false},
	{"another address, the one before lives", []string{"127.0.0.1"},
		func(n *namedBackend) { n.resolvesTo("127.0.0.2") }, func(n *namedBackend) { n.resolvesTo("127.0.0.1") }, "[127.0.0.2", false},
	{"another address, the one before is dead", []string{"127.0.0.2"},
		func(n *namedBackend) { n.relays["127.0.0.2"].close(); n.resolvesTo("127.0.0.3") }, func(*namedBackend) {}, "[127.0.0.3", false},
	{"two of four addresses refuse", []string{"127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"},
		func(n *namedBackend) { n.relays["127.0.0.2"].close(); n.relays["127.0.0.4"].close() }, func(*namedBackend) {}, "127.0.0.4", true},
	{"two of four addresses hang on connect", []string{"127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"},
		func(n *namedBackend) {
			n.relays["127.0.0.2"].dropConnections()
			n.relays["127.0.0.4"].dropConnections()
		},
		func(n *namedBackend) {
			n.relays["127.0.0.2"].acceptConnections()
			n.relays["127.0.0.4"].acceptConnections()
		}, "127.0.0.4", true},
}

// TestNames has one proxy for faults without a reload of nginx, and one for faults
// with reloads. The agent runs in this process, because the program would read
// /etc/resolv.conf.
func TestNames(t *testing.T) {
	t.Parallel()
	for _, noReload := range []bool{true, false} {
		t.Run(fmt.Sprintf("noReload=%t", noReload), func(t *testing.T) {
			t.Parallel()
			var chosen []dnsFault
			for _, m := range dnsFaults {
				if m.noReload == noReload {
					chosen = append(chosen, m)
				}
			}
			tryNames(t, chosen)
		})
	}
}

func tryNames(t *testing.T, dnsFaults []dnsFault) {
	server, w := newNameServer(t), newProxyRun(t)
	old := backend(t, testbed.Options{Name: "old"})
	text := configHead
	names := make([]*namedBackend, len(dnsFaults))
	for i, m := range dnsFaults {
		n := newNamedBackend(t, server, fmt.Sprintf("n%d", i))
		n.resolvesTo(m.addresses...)
		_, port, err := net.SplitHostPort(n.new.Addr())
		require.NoError(t, err)
		text += w.service(fmt.Sprintf("n%d", i), old.URL(), "http://"+net.JoinHostPort(n.name, port), percent100, noTrip, timeoutFor(m))
		names[i] = n
	}
	agent := w.agentHere(server, text)
	var done sync.WaitGroup
	rows := make([]row, len(dnsFaults))
	for i, m := range dnsFaults {
		done.Go(func() { rows[i] = m.run(w, agent, names[i], old) })
	}
	done.Wait()
	for i, m := range dnsFaults {
		t.Run(m.name, func(t *testing.T) { m.check(t, rows[i]) })
	}
}

func timeoutFor(m dnsFault) string {
	if strings.Contains(m.name, "hang") {
		return shortTimeout
	}
	return longTimeout
}

func newNamedBackend(t *testing.T, server *nameServer, service string) *namedBackend {
	n := &namedBackend{nameServer: server, name: service + ".backends.test", relays: map[string]*tcpRelay{}, t: t}
	n.new = backend(t, testbed.Options{Name: "new"})
	_, port, err := net.SplitHostPort(n.new.Addr())
	require.NoError(t, err)
	for _, address := range []string{"127.0.0.2", "127.0.0.3", "127.0.0.4"} {
		n.relays[address] = newTCPRelay(t, net.JoinHostPort(address, port), n.new.Addr())
	}
	return n
}

// agentHere runs an agent with this config until the end of the test.
func (w *proxyRun) agentHere(server *nameServer, text string) *proxy.Agent {
	table, err := config.Load(w.config, []byte(text))
	require.NoError(w.t, err)
	agent, err := proxy.New(w.t.Context(), proxy.Options{
		Params: nginxgen.Params{
			RuntimeDir: w.runtime, Listen: netip.MustParseAddrPort(w.listen), ListenNew: netip.MustParseAddrPort(proxyprocess.FreeAddress(w.t)),
			Workers: workers, CAFile: filepath.Join(w.dir, "ca.pem"),
		},
		NginxPath: testbed.Nginx(), QuitTimeout: time.Second,
		Resolve: resolve.Options{
			Lookup: server.resolver(), Network: "ip4", Every: 200 * time.Millisecond,
			Timeout: 300 * time.Millisecond, Linger: 500 * time.Millisecond,
		},
	})
	require.NoError(w.t, err)
	agent.ApplyTable(table, w.config)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := agent.Run(ctx, nil); err != nil {
			w.t.Error(err)
		}
	})
	w.t.Cleanup(func() { stop(); running.Wait() })
	require.Eventually(w.t, func() bool { return agent.Status().Ready }, waitTimeout, 10*time.Millisecond)
	return agent
}

func (m dnsFault) run(w *proxyRun, agent *proxy.Agent, n *namedBackend, old *testbed.Backend) row {
	service, _, _ := strings.Cut(n.name, ".")
	clients := w.clients(service, rates{get: 30, post: 15, connections: faultConnections})
	clients.waitForAnswers(20)
	since := time.Now()
	m.begin(n)
	text := ""
	for deadline := since.Add(waitTimeout); !strings.Contains(text, m.expect) && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		text = describeNew(agent.Status(), service)
	}
	pause(shortOrLong(2*time.Second, 15*time.Second))
	healed := time.Now()
	m.heal(n)
	pause(time.Second) // for the resolver and a reload
	clients.waitForAnswers(20)
	result := clients.finish(since, healed, old, n.new)
	result.group, result.name, result.status = "3. Names and addresses of new", m.name, text
	w.t.Log(m.name, clients.kinds())
	return result
}

// machineServer matches the name server of this machine in error messages: Go prints
// it even when another server was used.
var machineServer = regexp.MustCompile(` on [^ ]+:53`)

// describeNew gives the phase, the addresses of new, and the error of the name.
func describeNew(now status.Status, service string) string {
	for _, s := range now.Services {
		if s.Name == service {
			text := fmt.Sprintf("%s; addresses %v; unresolved %q", s.Phase, s.New.Addresses, s.New.Unresolved)
			return machineServer.ReplaceAllString(text, "")
		}
	}
	return "nothing"
}

func (m dnsFault) check(t *testing.T, result row) {
	results.add(t, result)
	require.Contains(t, result.status, m.expect)
	require.Zero(t, result.duplicates, "duplicated POSTs")
	if m.noReload {
		require.Zero(t, result.get.failed, "failed GETs")
		require.LessOrEqual(t, result.post.failed, inFlightAt(m), "failed POSTs")
		return
	}
	// The reloads of this name and of the others, at the begin and the end.
	require.LessOrEqual(t, result.get.failed+result.post.failed, lostByReloads(6)+inFlightAt(m))
}

// inFlightAt is how many POSTs may be in flight on a connection that is closed.
func inFlightAt(m dnsFault) int {
	if len(m.addresses) > 1 || strings.Contains(m.name, "dead") {
		return faultConnections
	}
	return 0
}

// lostByReloads is how many requests that many reloads may lose with the nginx under
// test: one per reload where nginx closes idle connections, see
// docs/adr/0004-drain.md.
func lostByReloads(reloads int) int {
	if nginxVersion().NeedsDrain() {
		return reloads
	}
	return 0
}

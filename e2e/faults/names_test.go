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
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/migration-proxy/migration-proxy/nginxgen"
	"github.com/migration-proxy/migration-proxy/proxy"
	"github.com/migration-proxy/migration-proxy/proxy/resolve"
)

// named is a new that is known by a name, behind addresses that can die.
type named struct {
	*nameServer
	name  string
	new   *testbed.Backend
	wires map[string]*wire // by address
	t     *testing.T
}

func (n *named) resolvesTo(addresses ...string) { n.set(n.name, addresses...) }

// misnomer is what can happen to a name or its addresses.
type misnomer struct {
	name      string
	addresses []string
	begin     func(*named)
	heal      func(*named)
	expect    string // in the status, while it lasts
	restful   bool   // nothing in nginx changes for it
}

var misnomers = []misnomer{
	{"the name server is gone", []string{"127.0.0.1"},
		func(n *named) { n.silence(n.name, true) }, func(n *named) { n.silence(n.name, false) }, "timeout", true},
	{"NXDOMAIN", []string{"127.0.0.1"},
		func(n *named) { n.resolvesTo() }, func(n *named) { n.resolvesTo("127.0.0.1") }, "no such host", true},
	{"NXDOMAIN from the start", nil,
		func(*named) {}, func(n *named) { n.resolvesTo("127.0.0.1") }, "no such host", false},
	{"another address, the one before lives", []string{"127.0.0.1"},
		func(n *named) { n.resolvesTo("127.0.0.2") }, func(n *named) { n.resolvesTo("127.0.0.1") }, "[127.0.0.2", false},
	{"another address, the one before is dead", []string{"127.0.0.2"},
		func(n *named) { n.wires["127.0.0.2"].cut(); n.resolvesTo("127.0.0.3") }, func(*named) {}, "[127.0.0.3", false},
	{"two of four addresses refuse", []string{"127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"},
		func(n *named) { n.wires["127.0.0.2"].cut(); n.wires["127.0.0.4"].cut() }, func(*named) {}, "127.0.0.4", true},
	{"two of four addresses hang on connect", []string{"127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"},
		func(n *named) { n.wires["127.0.0.2"].silence(); n.wires["127.0.0.4"].silence() },
		func(n *named) { n.wires["127.0.0.2"].speak(); n.wires["127.0.0.4"].speak() }, "127.0.0.4", true},
}

// TestNames has one proxy for what changes nothing in nginx, and one for what
// is a reload. The agent runs in this process: the program reads
// /etc/resolv.conf, and that is not ours to change.
func TestNames(t *testing.T) {
	t.Parallel()
	for _, restful := range []bool{true, false} {
		t.Run(fmt.Sprintf("restful=%t", restful), func(t *testing.T) {
			t.Parallel()
			var chosen []misnomer
			for _, m := range misnomers {
				if m.restful == restful {
					chosen = append(chosen, m)
				}
			}
			tryNames(t, chosen)
		})
	}
}

func tryNames(t *testing.T, misnomers []misnomer) {
	server, w := newNameServer(t), newWorld(t)
	old := backend(t, testbed.Options{Name: "old"})
	text := pattern
	names := make([]*named, len(misnomers))
	for i, m := range misnomers {
		n := newNamed(t, server, fmt.Sprintf("n%d", i))
		n.resolvesTo(m.addresses...)
		_, port, err := net.SplitHostPort(n.new.Addr())
		require.NoError(t, err)
		text += w.service(fmt.Sprintf("n%d", i), old.URL(), "http://"+net.JoinHostPort(n.name, port), all, noTrip, patienceWith(m))
		names[i] = n
	}
	agent := w.agentHere(server, text)
	var done sync.WaitGroup
	rows := make([]row, len(misnomers))
	for i, m := range misnomers {
		done.Go(func() { rows[i] = m.run(w, agent, names[i], old) })
	}
	done.Wait()
	for i, m := range misnomers {
		t.Run(m.name, func(t *testing.T) { m.judge(t, rows[i]) })
	}
}

func patienceWith(m misnomer) string {
	if strings.Contains(m.name, "hang") {
		return hasty
	}
	return patient
}

func newNamed(t *testing.T, server *nameServer, service string) *named {
	n := &named{nameServer: server, name: service + ".backends.test", wires: map[string]*wire{}, t: t}
	n.new = backend(t, testbed.Options{Name: "new"})
	_, port, err := net.SplitHostPort(n.new.Addr())
	require.NoError(t, err)
	for _, address := range []string{"127.0.0.2", "127.0.0.3", "127.0.0.4"} {
		n.wires[address] = lay(t, net.JoinHostPort(address, port), n.new.Addr())
	}
	return n
}

// agentHere serves a config until the test ends.
func (w *world) agentHere(server *nameServer, text string) *proxy.Agent {
	table, err := config.Load(w.config, []byte(text))
	require.NoError(w.t, err)
	agent, err := proxy.New(w.t.Context(), proxy.Options{
		Params: nginxgen.Params{
			RuntimeDir: w.runtime, Listen: netip.MustParseAddrPort(w.listen), ListenNew: netip.MustParseAddrPort(freeAddress(w.t)),
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
	require.Eventually(w.t, func() bool { return agent.Status().Ready }, patience, 10*time.Millisecond)
	return agent
}

func (m misnomer) run(w *world, agent *proxy.Agent, n *named, old *testbed.Backend) row {
	service, _, _ := strings.Cut(n.name, ".")
	clients := w.clients(service, rates{get: 30, post: 15, connections: trialConnections})
	clients.flows(20)
	since := time.Now()
	m.begin(n)
	said := ""
	for deadline := since.Add(patience); !strings.Contains(said, m.expect) && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		said = saysOfNew(agent.Status(), service)
	}
	pause(takes(2*time.Second, 15*time.Second))
	healed := time.Now()
	m.heal(n)
	pause(time.Second) // for the resolver to see it, and a reload
	clients.flows(20)
	result := clients.end(since, healed, old, n.new)
	result.group, result.name, result.says = "3. Names and addresses of new", m.name, said
	w.t.Log(m.name, clients.kinds())
	return result
}

// machineServer is the name server of this machine: Go's errors name it, also
// when another was asked.
var machineServer = regexp.MustCompile(` on [^ ]+:53`)

// saysOfNew is the phase, new's addresses and why there are no others.
func saysOfNew(now status.Status, service string) string {
	for _, s := range now.Services {
		if s.Name == service {
			said := fmt.Sprintf("%s; addresses %v; unresolved %q", s.Phase, s.New.Addresses, s.New.Unresolved)
			return machineServer.ReplaceAllString(said, "")
		}
	}
	return "nothing"
}

func (m misnomer) judge(t *testing.T, result row) {
	results.add(t, result)
	require.Contains(t, result.says, m.expect)
	require.Zero(t, result.duplicates, "duplicated POSTs")
	if m.restful {
		require.Zero(t, result.get.failed, "failed GETs")
		require.LessOrEqual(t, result.post.failed, underWayAt(m), "failed POSTs")
		return
	}
	// There and back, of this name and of the others.
	require.LessOrEqual(t, result.get.failed+result.post.failed, lostByReloads(6)+underWayAt(m))
}

// underWayAt is how many POSTs the wire that is cut may have carried.
func underWayAt(m misnomer) int {
	if len(m.addresses) > 1 || strings.Contains(m.name, "dead") {
		return trialConnections
	}
	return 0
}

// lostByReloads is how many requests that many reloads may lose on the nginx
// under test: one each where it closes idle connections, see
// docs/adr/0004-drain.md.
func lostByReloads(reloads int) int {
	if nginxVersion().NeedsDrain() {
		return reloads
	}
	return 0
}

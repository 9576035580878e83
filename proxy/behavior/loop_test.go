package behavior

import (
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/nginxgen"
)

// startReplica starts a proxy behind controllers. All names lead to one address.
func startReplica(t *testing.T, table *migration.Table, backends map[string]string) *rig {
	r := &rig{table: table, params: newParams(t)}
	r.params.BehindControllers = true
	r.start(t, endpointsAt(table, backends))
	return r
}

// endpointsAt resolves backends by their names; the others are addresses.
func endpointsAt(table *migration.Table, backends map[string]string) nginxgen.Endpoints {
	endpoints := literalEndpoints(table)
	for _, s := range table.Services() {
		for _, backend := range s.Backends() {
			if address, ok := backends[backend.Host]; ok {
				endpoints[backend] = []netip.AddrPort{netip.MustParseAddrPort(address)}
			}
		}
	}
	return endpoints
}

// startForeign starts the load balancer of somebody else: it passes requests on to an
// address that is set later.
func startForeign(t *testing.T) (address string, leadTo func(string)) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	target := make(chan string, 1)
	go func() {
		to := <-target
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go pass(conn, to)
		}
	}()
	return listener.Addr().String(), func(to string) { target <- to }
}

func accessLines(t *testing.T, r *rig) []string {
	text, err := os.ReadFile(filepath.Join(r.params.RuntimeDir, "access.log"))
	require.NoError(t, err)
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// TestLoopThroughReplicas: the address of a backend leads to another replica of this
// installation. The request ends there.
func TestLoopThroughReplicas(t *testing.T) {
	t.Parallel()
	wires := startWire(t)
	text := func(share, oldBackend, newBackend string) string {
		return "services:\n  - {name: shop, old_host: shop.example.com, old_backend: " + oldBackend + ", new_host: shop.example.com, new_backend: " + newBackend +
			", migration: {enabled: true, percentage: " + share + "}}\n  - {name: any, old_host: \"*.any.example.com\", old_backend: " + oldBackend +
			", new_host: x.any.example.com, new_backend: " + newBackend + ", migration: {enabled: true, percentage: " + share + "}}\n" +
			"  - {name: other, old_host: other.example.com, old_backend: " + oldBackend + ", new_host: other.new.example.com, new_backend: " + newBackend +
			", migration: {enabled: true, percentage: " + share + "}}\n"
	}
	for name, c := range map[string]struct{ text, method, host, loops, status string }{
		"new":                         {text("100", wires.address, "http://lb.example.net"), "POST", "shop.example.com", "lb.example.net", "508"},
		"new, unknown host":           {text("100", wires.address, "http://lb.example.net"), "POST", "other.example.com", "lb.example.net", "508"},
		"new, wildcard":               {text("100", wires.address, "http://lb.example.net"), "POST", "a.any.example.com", "lb.example.net", "508"},
		"new, and old answers":        {text("100", wires.address, "http://lb.example.net"), "GET", "shop.example.com", "lb.example.net", "200"},
		"old by its public name":      {text("0", "http://shop.example.net", wires.address), "GET", "shop.example.com", "shop.example.net", "508"},
		"old by its public name, any": {text("0", "http://shop.example.net", wires.address), "POST", "b.any.example.com", "shop.example.net", "508"},
		"old by a private address":    {text("0", "http://10.99.0.1", wires.address), "GET", "shop.example.com", "10.99.0.1", "508"},
		"old is a proxy Service":      {text("0", "http://migration-proxy-shop-1a2b.team", wires.address), "GET", "shop.example.com", "migration-proxy-shop-1a2b.team", "508"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lb, leadTo := startForeign(t)
			table := loadTable(t, c.text)
			first, second := startReplica(t, table, map[string]string{c.loops: lb}), startReplica(t, table, map[string]string{c.loops: lb})
			leadTo(second.params.Listen.String())
			id := strings.ReplaceAll("loop "+name, " ", "-")
			wires.answer(id, plainAnswer)
			answer, _ := dial(t, first.params.Listen.String()).send(t, c.method+" /x HTTP/1.1\r\nHost: "+c.host+"\r\nX-Case: "+id+"\r\nContent-Length: 0\r\n\r\n")
			require.Equal(t, c.status, strings.Fields(answer.Start)[1], answer)
			require.Eventually(t, func() bool { return len(accessLines(t, second)[0]) > 0 }, patience, quick)
			require.Len(t, accessLines(t, second), 1, "it comes back once")
			require.Contains(t, accessLines(t, second)[0], `HTTP/1.1" 508 `)
		})
	}
}

// TestOwnAddress: a backend with an address of the proxy itself is not asked at all.
func TestOwnAddress(t *testing.T) {
	t.Parallel()
	wires := startWire(t)
	for name, share := range map[string]string{"new": "100", "old": "0"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &rig{params: newParams(t)}
			own, other := "http://"+r.params.Listen.String(), "http://"+wires.address
			if name == "new" {
				own, other = other, own
			}
			r.table = loadTable(t, "services:\n  - {name: shop, old_host: shop.example.com, old_backend: "+own+", new_host: shop.example.com, new_backend: "+other+
				", migration: {enabled: true, percentage: "+share+"}}\n")
			r.start(t, literalEndpoints(r.table))
			answer, _ := dial(t, r.params.Listen.String()).send(t, "POST /x HTTP/1.1\r\nHost: shop.example.com\r\nContent-Length: 0\r\n\r\n")
			require.Equal(t, "508", strings.Fields(answer.Start)[1], answer)
			require.Eventually(t, func() bool { return len(accessLines(t, r)[0]) > 0 }, patience, quick)
			require.Len(t, accessLines(t, r), 1)
		})
	}
}

// TestChainOfInstallations: another installation behind new may have the same hosts.
func TestChainOfInstallations(t *testing.T) {
	t.Parallel()
	wires := startWire(t)
	config := func(newBackend string) *migration.Table {
		return loadTable(t, "services:\n  - {name: shop, old_host: shop.example.com, old_backend: "+wires.address+", new_host: shop.example.com, new_backend: http://"+newBackend+
			", migration: {enabled: true, percentage: 100}}\n")
	}
	behind := startReplica(t, config(wires.address), nil)
	front := startReplica(t, config(behind.params.Listen.String()), nil)
	_, atBackend := askFor(t, front.params.Listen.String(), wires, "chain", "POST /x HTTP/1.1\r\nHost: shop.example.com\r\nContent-Length: 0\r\n", plainAnswer)
	require.Len(t, strings.Fields(atBackend.value("Migration-Proxy-Loop")), 2)
}

// pass copies both ways between a client and an address.
func pass(client net.Conn, to string) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	go func() { _, _ = io.Copy(server, client) }()
	_, _ = io.Copy(client, server)
}

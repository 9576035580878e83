package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/proxy/resolve"
)

func TestAddressPace(t *testing.T) {
	t.Parallel()
	start := time.Unix(0, 0)
	var p addressPace
	var reloads []int
	for second := range 1000 {
		now := start.Add(time.Duration(second) * time.Second)
		if !now.Before(p.next(addressesDiffer)) {
			p.reloaded(now)
			reloads = append(reloads, second)
		}
	}
	require.Equal(t, []int{0, 30, 90, 210, 450, 750}, reloads)
	require.Equal(t, 10*time.Second, p.next(addressesFailed).Sub(p.last))
	require.Equal(t, 10*time.Second, p.next(addressesReplaced).Sub(p.last))
	p.reloaded(p.last.Add(601 * time.Second))
	require.Equal(t, firstPause, p.pause, "a quiet time")
	require.Equal(t, time.Second, p.next(addressesReplaced).Sub(p.last))
}

// answers is a Lookup with the same answer for every name.
type answers struct{ atomic.Pointer[string] }

func (a *answers) set(addresses string) { a.Store(&addresses) }

func (a *answers) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	var all []netip.Addr
	for _, text := range strings.Fields(*a.Load()) {
		all = append(all, netip.MustParseAddr(text))
	}
	return all, nil
}

// TestAddressesThatMayWait: the first change reloads at once, the second waits, also
// when the user changes a share meanwhile; but if nothing that nginx has works any
// more, the next addresses come at once.
func TestAddressesThatMayWait(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	names := &answers{}
	names.set("127.0.0.1")
	r.options.Resolve = resolve.Options{Lookup: names, Network: "ip", Every: 20 * time.Millisecond, Linger: time.Hour, VerifyEvery: time.Millisecond}
	r.options.ReloadEvery = time.Millisecond
	r.names = resolve.New(r.options.Resolve)
	r.run()
	_, port, err := net.SplitHostPort(r.old)
	require.NoError(t, err)
	named := func(share int) {
		r.apply(service(t, "api", full, r.old, "new.test:"+port), service(t, "other", 0, fmt.Sprintf("192.0.2.%d:80", 1+share), r.new))
	}
	addresses := func(s status.Status) int { return len(s.Services[0].New.Addresses) }
	named(0)
	require.Equal(t, 1, addresses(r.Status()))
	names.set("127.0.0.1 127.0.0.2")
	r.waitFor("first change", func(s status.Status) bool { return addresses(s) == 2 })
	names.set("127.0.0.1 127.0.0.2 127.0.0.3")
	require.Eventually(t, func() bool { return len(r.Agent.Addresses(r.Table().Services()[0].NewBackend)) == 3 }, 5*time.Second, time.Millisecond)
	named(1)
	require.Equal(t, 2, addresses(r.Status()), "an edit does not bring them")

	// A server only at 127.0.0.1; nginx has two addresses, and now neither works.
	names.set("127.0.0.9")
	for _, dead := range []string{"127.0.0.2", "127.0.0.3", "127.0.0.1"} {
		r.names.Suspect(netip.MustParseAddrPort(dead + ":" + port))
	}
	r.waitFor("those that work", func(s status.Status) bool {
		r.names.Suspect(netip.MustParseAddrPort("127.0.0.2:" + port))
		return addresses(s) == 2 && strings.HasPrefix(s.Services[0].New.Addresses[1], "127.0.0.9")
	})
}

// TestFewOldWorkers: each reload leaves workers behind that a client keeps alive. The
// oldest end, the others keep their clients.
func TestFewOldWorkers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.options.ReloadEvery = time.Millisecond
	old := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
	}))
	t.Cleanup(old.Close)
	r.old = old.Listener.Addr().String()
	r.run()
	const reloads = maxOldGenerations + 2
	var clients []net.Conn
	for i := range reloads {
		r.apply(r.service("api", 0), r.service(fmt.Sprintf("more%d", i), 0))
		for range 16 { // some on each worker
			conn, err := net.Dial("tcp", r.params.Listen.String())
			require.NoError(t, err)
			t.Cleanup(func() { _ = conn.Close() })
			_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: api.old.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
			require.NoError(t, err)
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			require.NoError(t, err)
			require.Equal(t, http.StatusSwitchingProtocols, answer.StatusCode)
			clients = append(clients, conn)
		}
	}
	r.apply(r.service("api", 0))
	require.Eventually(t, func() bool { return r.master.OldWorkers() <= maxOldGenerations*r.params.Workers }, 10*time.Second, 10*time.Millisecond)
	require.Greater(t, r.master.OldWorkers(), (maxOldGenerations-1)*r.params.Workers)
	require.Equal(t, status.Workers{Serving: r.params.Workers, ShuttingDown: r.master.OldWorkers()}, r.Agent.Workers())
	closed := func(conn net.Conn) bool {
		_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		_, err := conn.Read(make([]byte, 1))
		return errors.Is(err, io.EOF)
	}
	require.Eventually(t, func() bool { return closed(clients[0]) }, 10*time.Second, time.Millisecond)
	require.False(t, closed(clients[len(clients)-1]))
}

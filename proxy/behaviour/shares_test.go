package behaviour

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/nginxgen"
	"github.com/migration-proxy/migration-proxy/proxy/weights"
)

// brief answers every request with one line, the name of its side. It is
// there for tests of many thousand requests.
func brief(t testing.TB, side string) netip.AddrPort {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	answer := []byte("HTTP/1.1 200 OK\r\nSide: " + side + "\r\nContent-Length: 0\r\n\r\n")
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				for reader := bufio.NewReader(conn); ; {
					if _, err := readLines(reader); err != nil {
						return
					}
					if _, err := conn.Write(answer); err != nil {
						return
					}
				}
			}()
		}
	}()
	return netip.MustParseAddrPort(listener.Addr().String())
}

// shareOf sends n requests over a few connections and gives which of them new
// answered. header gives the headers of request i, each with its line break.
func shareOf(t testing.TB, proxy, host string, n int, header func(i int) string) []bool {
	const connections = 8
	onNew, failed := make([]bool, n), make([]error, connections)
	var clients sync.WaitGroup
	for first := range connections {
		l := dial(t, proxy)
		clients.Go(func() {
			writer := bufio.NewWriter(l)
			for i := first; i < n; i += connections {
				_, _ = fmt.Fprintf(writer, "GET / HTTP/1.1\r\nHost: %s\r\n%s\r\n", host, header(i))
			}
			_ = writer.Flush()
		})
		clients.Go(func() {
			for i := first; i < n && failed[first] == nil; i += connections {
				answer, _, err := readAnswer(l.reader, "GET")
				onNew[i] = answer.value("Side") == "new"
				if err != nil || !onNew[i] && answer.value("Side") != "old" {
					failed[first] = fmt.Errorf("request %d: %v, %w", i, answer, err)
				}
			}
		})
	}
	clients.Wait()
	require.NoError(t, errors.Join(failed...))
	return onNew
}

func count(of []bool) int {
	n := 0
	for _, yes := range of {
		if yes {
			n++
		}
	}
	return n
}

// off tells how many standard deviations the count is away from the share.
func off(onNew []bool, share migration.Share) float64 {
	n, p := float64(len(onNew)), float64(share)/float64(migration.FullShare)
	return math.Abs(float64(count(onNew))-n*p) / math.Sqrt(n*p*(1-p))
}

func anonymous(int) string { return "" }

func user(i int) string { return fmt.Sprintf("X-User-ID: user-%d\r\n", i) }

// splitTable has one host for each strategy that splits.
func splitTable(t testing.TB) (*migration.Table, nginxgen.Endpoints) {
	table, err := config.Load("split.yaml", []byte(`
services:
  - {name: weight, old_host: weight.example.com, old_backend: "http://old.internal", new_host: new.example.com, new_backend: "http://new.internal", migration: {enabled: true, strategy: weight}}
  - {name: users, old_host: users.example.com, old_backend: "http://old.internal", new_host: new.example.com, new_backend: "http://new.internal", migration: {enabled: true, strategy: user_hash}}
`))
	require.NoError(t, err)
	return table, nginxgen.Endpoints{
		table.Services()[0].OldBackend: {brief(t, "old")},
		table.Services()[0].NewBackend: {brief(t, "new")},
	}
}

func (r *rig) setShare(t testing.TB, service migration.Name, share migration.Share) {
	require.NoError(t, r.store.Apply(service, weights.State{Share: share, Enabled: true}))
}

// TestSharesAreWhatTheySay: 20,000 requests, or users, for each share.
func TestSharesAreWhatTheySay(t *testing.T) {
	t.Parallel()
	table, endpoints := splitTable(t)
	r := startRigAt(t, table, endpoints, nil)
	proxy := r.params.Listen.String()
	for _, share := range []migration.Share{50, 100, 2000, 5000, 9999} {
		r.setShare(t, "weight", share)
		dice := func() float64 { return off(shareOf(t, proxy, "weight.example.com", 20000, anonymous), share) }
		// Chance alone exceeds three deviations once in 370 times, twice in a
		// row once in 137,000.
		if first := dice(); first > 3 {
			require.LessOrEqual(t, dice(), 3.0, "share %s by dice, after %.1f the first time", share, first)
		}
		r.setShare(t, "users", share)
		users := shareOf(t, proxy, "users.example.com", 20000, user)
		require.LessOrEqual(t, off(users, share), 3.0, "share %s by user", share)
	}
	r.setShare(t, "weight", 0)
	require.Zero(t, count(shareOf(t, proxy, "weight.example.com", 2000, anonymous)))
	r.setShare(t, "weight", migration.FullShare)
	require.Equal(t, 2000, count(shareOf(t, proxy, "weight.example.com", 2000, anonymous)))
}

// TestUsersStay: going up nobody goes back to old, coming down the way back is
// the same, and at one share everybody stays.
func TestUsersStay(t *testing.T) {
	t.Parallel()
	table, endpoints := splitTable(t)
	r := startRigAt(t, table, endpoints, nil)
	const people = 1000
	at := map[migration.Share][]bool{}
	before := make([]bool, people)
	way := []migration.Share{0, 1, 100, 2000, 5000, 5050, 9999, 10000}
	for _, share := range way {
		r.setShare(t, "users", share)
		now := shareOf(t, r.params.Listen.String(), "users.example.com", people, user)
		for i := range now {
			require.True(t, now[i] || !before[i], "user %d went back to old at %s", i, share)
		}
		at[share], before = now, now
	}
	require.Zero(t, count(at[0]))
	require.Equal(t, people, count(at[migration.FullShare]))
	for i := len(way) - 1; i >= 0; i-- {
		r.setShare(t, "users", way[i])
		require.Equal(t, at[way[i]], shareOf(t, r.params.Listen.String(), "users.example.com", people, user), "at %s on the way back", way[i])
	}
}

// TestAnonymousUsersAreNotOneUser: without a key the address stands in; it
// must not be a constant that puts everybody on new at the first percent.
func TestAnonymousUsersAreNotOneUser(t *testing.T) {
	t.Parallel()
	table, err := config.Load("anonymous.yaml", []byte(`
global: {trusted_proxies: ["127.0.0.1"]}
services:
  - {name: users, old_host: users.example.com, old_backend: "http://old.internal", new_host: new.example.com, new_backend: "http://new.internal", migration: {enabled: true, strategy: user_hash, percentage: 20}}
`))
	require.NoError(t, err)
	s := table.Service("users")
	r := startRigAt(t, table, nginxgen.Endpoints{s.OldBackend: {brief(t, "old")}, s.NewBackend: {brief(t, "new")}}, nil)
	address := func(i int) string { return fmt.Sprintf("X-Forwarded-For: 10.0.%d.%d\r\n", i/256, i%256) }
	onNew := shareOf(t, r.params.Listen.String(), "users.example.com", 5000, address)
	require.LessOrEqual(t, off(onNew, 2000), 3.0)
	require.Equal(t, onNew, shareOf(t, r.params.Listen.String(), "users.example.com", 5000, address), "the same address is the same user")
}

// TestOriginalExample: the original format's example, unchanged but for where
// its names resolve to.
func TestOriginalExample(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../examples/original.yaml")
	require.NoError(t, err)
	for strategy, share := range map[string]int{"weight": 20, "user_hash": 20, "header": 0} {
		t.Run(strategy, func(t *testing.T) {
			t.Parallel()
			table, err := config.Load("original.yaml", []byte(strings.Replace(string(text), `strategy: "weight"`, `strategy: "`+strategy+`"`, 1)))
			require.NoError(t, err)
			s := table.Services()[0]
			require.Equal(t, migration.HTTPS, s.NewBackend.Scheme, "port 443")
			require.Equal(t, strategy, string(s.Strategy))
			authority, certificate := trusted(t, string(s.NewHost))
			old := startBackend(t, testbed.Options{Name: "old", Hosts: []string{string(s.OldHost)}})
			new := startBackend(t, testbed.Options{Name: "new", Certificate: certificate, Hosts: []string{string(s.NewHost)}})
			proxy := startTLSRig(t, table, authority, nginxgen.Endpoints{
				s.OldBackend: {netip.MustParseAddrPort(old.Addr())},
				s.NewBackend: {netip.MustParseAddrPort(new.Addr())},
			}).params.Listen.String()
			l := dial(t, proxy)
			answered := map[string]int{}
			for i := range 1000 {
				answer, _ := l.ask(t, fmt.Sprintf("GET / HTTP/1.1\r\nHost: %s\r\nX-User-ID: user-%d\r\n\r\n", s.OldHost, i))
				require.Equal(t, "HTTP/1.1 200 OK", answer.Start)
				answered[answer.value(testbed.BackendHeader)]++
			}
			require.InDelta(t, 10*share, answered["new"], 60, "four to five deviations; %v", answered)
			answer, _ := l.ask(t, fmt.Sprintf("GET / HTTP/1.1\r\nHost: %s\r\nX-Migration-Target: new\r\n\r\n", s.OldHost))
			require.Equal(t, "new", answer.value(testbed.BackendHeader), "the header rule")
		})
	}
}

// TestSwappingWeightsLosesNothing: 500 changes under load, each seen by some
// requests, and not one request is lost; nginx's workers stay.
func TestSwappingWeightsLosesNothing(t *testing.T) {
	t.Parallel()
	table, endpoints := splitTable(t)
	old, new := startBackend(t, testbed.Options{Name: "old"}), startBackend(t, testbed.Options{Name: "new"})
	s := table.Service("weight")
	endpoints[s.OldBackend] = []netip.AddrPort{netip.MustParseAddrPort(old.Addr())}
	endpoints[s.NewBackend] = []netip.AddrPort{netip.MustParseAddrPort(new.Addr())}
	r := startRigAt(t, table, endpoints, nil)
	workers := r.workers(t)
	var answers atomic.Int64
	more := make(chan struct{}, 1)
	load := testbed.Load{
		URL: "http://" + r.params.Listen.String() + "/pay", Method: "POST", Host: "weight.example.com", Body: "amount=1",
		ID: "pay", Connections: 16,
		Each: func(testbed.Answer) {
			if answers.Add(1)%8 == 0 {
				select {
				case more <- struct{}{}:
				default:
				}
			}
		},
	}
	ctx, stop := context.WithCancel(t.Context())
	reports := make(chan *testbed.Report, 1)
	go func() {
		report, _ := load.Run(ctx)
		reports <- report
	}()
	for i := range 500 {
		r.setShare(t, "weight", []migration.Share{0, 3333, 10000, 50, 9999}[i%5])
		<-more
	}
	stop()
	report := <-reports
	require.Zero(t, report.Lost(), report.Errors)
	require.Equal(t, map[int]int{200: report.Sent}, report.Statuses)
	require.Equal(t, 16, report.Connections, "a connection was ended")
	require.Equal(t, report.Sent, old.Total()+new.Total(), "each request arrived once")
	require.Positive(t, report.Backends["old"])
	require.Positive(t, report.Backends["new"])
	require.Equal(t, workers, r.workers(t))
}

// workers are the process ids of nginx's workers.
func (r *rig) workers(t testing.TB) string {
	pid, err := os.ReadFile(filepath.Join(r.params.RuntimeDir, "nginx.pid"))
	require.NoError(t, err)
	master := strings.TrimSpace(string(pid))
	children, err := os.ReadFile(filepath.Join("/proc", master, "task", master, "children"))
	require.NoError(t, err)
	require.NotEmpty(t, children)
	return string(children)
}

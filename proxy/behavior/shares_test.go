package behavior

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/nginxgen"
	"github.com/migration-proxy/migration-proxy/proxy/weights"
)

// startMinimal starts a backend that answers with the name of its side only,
// for tests of many thousand requests.
func startMinimal(t testing.TB, side string) netip.AddrPort {
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

// sendMany sends n requests over a few connections and returns which of them
// new answered. header returns the headers of request i, each with its line
// break.
func sendMany(t testing.TB, proxy, host string, n int, header func(i int) string) []bool {
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
				_ = l.SetDeadline(time.Now().Add(patience)) // for each, also of the writer
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

func count(onNew []bool) int {
	n := 0
	for _, is := range onNew {
		if is {
			n++
		}
	}
	return n
}

// deviations is the distance of the count from the share, in standard
// deviations.
func deviations(onNew []bool, share migration.Share) float64 {
	n, p := float64(len(onNew)), float64(share)/float64(migration.FullShare)
	return math.Abs(float64(count(onNew))-n*p) / math.Sqrt(n*p*(1-p))
}

func anonymous(int) string { return "" }

func user(i int) string { return fmt.Sprintf("X-User-ID: user-%d\r\n", i) }

// splitTable has one host for each strategy that splits traffic by share.
func splitTable(t testing.TB) (*migration.Table, nginxgen.Endpoints) {
	table := loadTable(t, `
services:
  - {name: weight, old_host: weight.example.com, old_backend: "http://old.internal", new_host: new.example.com, new_backend: "http://new.internal", migration: {enabled: true, strategy: weight, percentage: 0.5}}
  - {name: whole, old_host: whole.example.com, old_backend: "http://old.internal", new_host: new.example.com, new_backend: "http://new.internal", migration: {enabled: true, strategy: weight, percentage: 20}}
  - {name: users, old_host: users.example.com, old_backend: "http://old.internal", new_host: new.example.com, new_backend: "http://new.internal", migration: {enabled: true, strategy: user_hash}}
`)
	return table, nginxgen.Endpoints{
		table.Services()[0].OldBackend: {startMinimal(t, "old")},
		table.Services()[0].NewBackend: {startMinimal(t, "new")},
	}
}

func (r *rig) setShare(t testing.TB, service migration.Name, share migration.Share) {
	require.NoError(t, r.store.Apply(service, weights.State{Share: share, Enabled: true}))
}

// TestSharesAreExact: 20,000 requests, or users, for each share.
func TestSharesAreExact(t *testing.T) {
	t.Parallel()
	table, endpoints := splitTable(t)
	r := startRigAt(t, table, endpoints, nil)
	proxy := r.params.Listen.String()
	for _, share := range []migration.Share{50, 100, 2000, 5000, 9999} {
		service := "weight"
		if share.Whole() {
			service = "whole"
		}
		r.setShare(t, migration.Name(service), share)
		dice := func() float64 { return deviations(sendMany(t, proxy, service+".example.com", 20000, anonymous), share) }
		// Random requests exceed three deviations once in 370 times, and twice in
		// a row once in 137,000.
		if first := dice(); first > 3 {
			require.LessOrEqual(t, dice(), 3.0, "share %s by dice, after %.1f the first time", share, first)
		}
		r.setShare(t, "users", share)
		users := sendMany(t, proxy, "users.example.com", 20000, user)
		require.LessOrEqual(t, deviations(users, share), 3.0, "share %s by user", share)
	}
	r.setShare(t, "weight", 0)
	require.Zero(t, count(sendMany(t, proxy, "weight.example.com", 2000, anonymous)))
	r.setShare(t, "weight", migration.FullShare)
	require.Equal(t, 2000, count(sendMany(t, proxy, "weight.example.com", 2000, anonymous)))
}

// TestUsersStay: when the share grows, no user goes back to old; when it
// shrinks, each share has the same users as before.
func TestUsersStay(t *testing.T) {
	t.Parallel()
	table, endpoints := splitTable(t)
	r := startRigAt(t, table, endpoints, nil)
	const users = 1000
	at := map[migration.Share][]bool{}
	before := make([]bool, users)
	steps := []migration.Share{0, 1, 100, 2000, 5000, 5050, 9999, 10000}
	for _, share := range steps {
		r.setShare(t, "users", share)
		now := sendMany(t, r.params.Listen.String(), "users.example.com", users, user)
		for i := range now {
			require.True(t, now[i] || !before[i], "user %d went back to old at %s", i, share)
		}
		at[share], before = now, now
	}
	require.Zero(t, count(at[0]))
	require.Equal(t, users, count(at[migration.FullShare]))
	for i := len(steps) - 1; i >= 0; i-- {
		r.setShare(t, "users", steps[i])
		require.Equal(t, at[steps[i]], sendMany(t, r.params.Listen.String(), "users.example.com", users, user), "at %s on the way back", steps[i])
	}
}

// TestAnonymousUsersAreNotOneUser: without a hash key the address is the key. A
// constant key would send all of them to new at the first percent.
func TestAnonymousUsersAreNotOneUser(t *testing.T) {
	t.Parallel()
	table := loadTable(t, `
global: {trusted_proxies: ["127.0.0.1"]}
services:
  - {name: users, old_host: users.example.com, old_backend: "http://old.internal", new_host: new.example.com, new_backend: "http://new.internal", migration: {enabled: true, strategy: user_hash, percentage: 20}}
`)
	s := table.Service("users")
	r := startRigAt(t, table, nginxgen.Endpoints{s.OldBackend: {startMinimal(t, "old")}, s.NewBackend: {startMinimal(t, "new")}}, nil)
	address := func(i int) string { return fmt.Sprintf("X-Forwarded-For: 10.0.%d.%d\r\n", i/256, i%256) }
	onNew := sendMany(t, r.params.Listen.String(), "users.example.com", 5000, address)
	require.LessOrEqual(t, deviations(onNew, 2000), 3.0)
	require.Equal(t, onNew, sendMany(t, r.params.Listen.String(), "users.example.com", 5000, address), "the same address is the same user")
}

// TestOriginalExample: the example of the original format, with test addresses
// for its names.
func TestOriginalExample(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../examples/original.yaml")
	require.NoError(t, err)
	for strategy, share := range map[string]int{"weight": 20, "user_hash": 20, "header": 0} {
		t.Run(strategy, func(t *testing.T) {
			t.Parallel()
			table := loadTable(t, strings.Replace(string(text), `strategy: "weight"`, `strategy: "`+strategy+`"`, 1))
			s := table.Services()[0]
			require.Equal(t, migration.HTTPS, s.NewBackend.Scheme, "port 443")
			require.Equal(t, strategy, string(s.Strategy))
			authority, certificate := newAuthority(t, string(s.NewHost))
			old := startBackend(t, testbed.Options{Name: "old", Hosts: []string{string(s.OldHost)}})
			new := startBackend(t, testbed.Options{Name: "new", Certificate: certificate, Hosts: []string{string(s.NewHost)}})
			proxy := startTLSRig(t, table, authority, nginxgen.Endpoints{
				s.OldBackend: {netip.MustParseAddrPort(old.Addr())},
				s.NewBackend: {netip.MustParseAddrPort(new.Addr())},
			}).params.Listen.String()
			l := dial(t, proxy)
			answered := map[string]int{}
			for i := range 1000 {
				answer, _ := l.send(t, fmt.Sprintf("GET / HTTP/1.1\r\nHost: %s\r\nX-User-ID: user-%d\r\n\r\n", s.OldHost, i))
				require.Equal(t, "HTTP/1.1 200 OK", answer.Start)
				answered[answer.value(testbed.BackendHeader)]++
			}
			require.InDelta(t, 10*share, answered["new"], 60, "four to five deviations: %v", answered)
			answer, _ := l.send(t, fmt.Sprintf("GET / HTTP/1.1\r\nHost: %s\r\nX-Migration-Target: new\r\n\r\n", s.OldHost))
			require.Equal(t, "new", answer.value(testbed.BackendHeader), "the header rule")
		})
	}
}

// TestWeightChangesLoseNoRequest: 500 changes under load, each with requests
// during it; no request is lost, and the workers stay.
func TestWeightChangesLoseNoRequest(t *testing.T) {
	t.Parallel()
	table, endpoints := splitTable(t)
	old, new := startBackend(t, testbed.Options{Name: "old"}), startBackend(t, testbed.Options{Name: "new"})
	s := table.Service("weight")
	endpoints[s.OldBackend] = []netip.AddrPort{netip.MustParseAddrPort(old.Addr())}
	endpoints[s.NewBackend] = []netip.AddrPort{netip.MustParseAddrPort(new.Addr())}
	r := startRigAt(t, table, endpoints, nil)
	before := workers(t, r.params.RuntimeDir)
	var answers atomic.Int64
	eightAnswers := make(chan struct{}, 1)
	load := testbed.Load{
		URL: "http://" + r.params.Listen.String() + "/pay", Method: "POST", Host: "weight.example.com", Body: "amount=1",
		ID: "pay", Connections: 16,
		Each: func(testbed.Answer) {
			if answers.Add(1)%8 == 0 {
				select {
				case eightAnswers <- struct{}{}:
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
		<-eightAnswers
	}
	stop()
	report := <-reports
	require.Zero(t, report.Lost(), report.Errors)
	require.Equal(t, map[int]int{200: report.Sent}, report.Statuses)
	require.Equal(t, 16, report.Connections, "a connection was closed")
	require.Equal(t, report.Sent, old.Total()+new.Total(), "each request arrived once")
	require.Positive(t, report.Backends["old"])
	require.Positive(t, report.Backends["new"])
	require.Equal(t, before, workers(t, r.params.RuntimeDir))
}

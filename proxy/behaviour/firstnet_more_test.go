package behaviour

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// pair is a proxy with one service between two backends.
type pair struct {
	*rig
	old, new *testbed.Backend
}

// startPair serves app.example.com; more is YAML of the service, at its
// indentation. New is known by a name, so that it can have several addresses:
// those of dead, and then its own.
func startPair(t *testing.T, more string, dead ...netip.AddrPort) pair {
	return startPairWith(t, "", more, dead...)
}

func startPairWith(t *testing.T, global, more string, dead ...netip.AddrPort) pair {
	p := pair{old: startBackend(t, testbed.Options{Name: "old"}), new: startBackend(t, testbed.Options{Name: "new"})}
	text := global + `
services:
  - name: app
    old_host: app.example.com
    old_backend: ` + p.old.URL() + `
    new_host: ` + newHost + `
    new_backend: http://new.internal
` + more
	table, err := config.Load("pair.yaml", []byte(text))
	require.NoError(t, err)
	endpoints := literalEndpoints(table)
	endpoints[table.Service("app").NewBackend] = append(dead, netip.MustParseAddrPort(p.new.Addr()))
	p.rig = startRigAt(t, table, endpoints, nil)
	return p
}

// ask gives the status and the backend that answered, and how often each side
// was asked.
func (p pair) ask(t *testing.T, method, path, id string) []any {
	answer, err := askOnce(p.params.Listen.String(), fmt.Sprintf(
		"%s %s HTTP/1.1\r\nHost: app.example.com\r\nX-Testbed-Id: %s\r\nContent-Length: 4\r\n\r\nbody", method, path, id))
	require.NoError(t, err)
	return []any{strings.Fields(answer.Start)[1], answer.value(testbed.BackendHeader), p.old.Count(method, path, id), p.new.Count(method, path, id)}
}

const allNew = "    migration: {enabled: true, percentage: 100}\n"

func TestFallbackSwitchedOff(t *testing.T) {
	t.Parallel()
	p := startPair(t, allNew+"    timeout: 500ms\n    fallback: {enabled: false}\n")
	for _, method := range []string{"PUT", "POST"} {
		require.Equal(t, []any{"503", "new", 0, 1}, p.ask(t, method, "/do/status/503", "status"))
		require.Equal(t, []any{"504", "", 0, 1}, p.ask(t, method, "/do/hang", "hang"))
	}
	require.Equal(t, []any{"502", "", 0, 1}, p.ask(t, "POST", "/do/reset", "reset"))
	p.new.Kill()
	for _, method := range []string{"GET", "POST"} {
		require.Equal(t, []any{"502", "", 0, 0}, p.ask(t, method, "/", "refused"))
	}
}

func TestNoStatusFallsBack(t *testing.T) {
	t.Parallel()
	p := startPair(t, allNew+"    fallback: {on_status: []}\n")
	for _, method := range []string{"GET", "POST"} {
		for _, status := range []string{"500", "502", "503", "504"} {
			require.Equal(t, []any{status, "new", 0, 1}, p.ask(t, method, "/do/status/"+status, status))
		}
	}
	p.old.Answer(testbed.Do(""))
	require.Equal(t, []any{"200", "old"}, p.ask(t, "GET", "/do/reset", "reset")[:2])
	require.Equal(t, []any{"502", "", 0, 1}, p.ask(t, "POST", "/do/reset", "reset"))
	p.new.Kill()
	require.Equal(t, []any{"200", "old", 1, 0}, p.ask(t, "POST", "/", "refused"))
}

// TestIdleConnectionThatNewClosed: were the dead connection used, the POST
// would be lost; were it repeated blindly, it could arrive twice.
func TestIdleConnectionThatNewClosed(t *testing.T) {
	t.Parallel()
	p := startPair(t, allNew)
	for i := range 20 {
		id := fmt.Sprint(i)
		require.Equal(t, []any{"200", "new", 0, 1}, p.ask(t, "POST", "/first", id))
		p.new.Kill()
		require.NoError(t, p.new.Revive())
		require.Equal(t, []any{"200", "new", 0, 1}, p.ask(t, "POST", "/second", id))
	}
}

func TestDeadAddressAmongSeveral(t *testing.T) {
	t.Parallel()
	p := startPair(t, allNew, freeAddress(t), freeAddress(t))
	for i := range 20 {
		require.Equal(t, []any{"200", "new", 0, 1}, p.ask(t, "POST", "/", fmt.Sprint(i)), "a third try reaches it")
	}
}

// TestOneTryOnly: nginx takes the addresses in turn, so that of two requests
// one meets the dead one, and goes to old.
func TestOneTryOnly(t *testing.T) {
	t.Parallel()
	p := startPairWith(t, "global: {retry_attempts: 1}", allNew, freeAddress(t))
	p.old.Answer(testbed.Do(""))
	answered := map[any]int{}
	for i := range 2 {
		answered[p.ask(t, "POST", "/", fmt.Sprint(i))[1]]++
	}
	require.Equal(t, map[any]int{"old": 1, "new": 1}, answered)
	met := 0
	for i := range 2 {
		got := p.ask(t, "PUT", "/do/reset", fmt.Sprint(i))
		require.Equal(t, []any{"200", "old", 1}, got[:3])
		met += got[3].(int)
	}
	require.Positive(t, met, "new was asked before old")
}

// TestOldFails: nobody stands in for old, and what it may have seen is not
// sent again.
func TestOldFails(t *testing.T) {
	t.Parallel()
	p := startPair(t, "    timeout: 500ms\n")
	require.Equal(t, []any{"502", "", 1, 0}, p.ask(t, "POST", "/do/reset", "reset"))
	require.Equal(t, []any{"504", "", 1, 0}, p.ask(t, "POST", "/do/hang", "hang"))
	require.Equal(t, []any{"503", "old", 1, 0}, p.ask(t, "GET", "/do/status/503", "status"))
	require.Equal(t, []any{"502", ""}, p.ask(t, "GET", "/do/reset", "reset")[:2])
	p.old.Kill()
	require.Equal(t, []any{"502", "", 0, 0}, p.ask(t, "POST", "/", "refused"))
}

// TestBothFail: the client gets old's failure, once.
func TestBothFail(t *testing.T) {
	t.Parallel()
	p := startPair(t, allNew+"    timeout: 500ms\n")
	require.Equal(t, []any{"503", "old", 1, 1}, p.ask(t, "GET", "/do/status/503", "status"))
	require.Equal(t, []any{"503", "new", 0, 1}, p.ask(t, "POST", "/do/status/503", "status"))
	require.Equal(t, []any{"504", "", 1, 1}, p.ask(t, "GET", "/do/hang", "hang"))
	require.Equal(t, []any{"502", ""}, p.ask(t, "GET", "/do/reset", "reset")[:2])
	p.new.Kill()
	require.Equal(t, []any{"502", "", 1, 0}, p.ask(t, "POST", "/do/reset", "refused"))
	p.old.Kill()
	require.Equal(t, []any{"502", "", 0, 0}, p.ask(t, "POST", "/", "refused"))
}

// TestUnresolved: a side without an address is one side of one service, no
// more.
func TestUnresolved(t *testing.T) {
	t.Parallel()
	old := startBackend(t, testbed.Options{Name: "old"})
	table, err := config.Load("unresolved.yaml", []byte(`
services:
  - {name: new-gone, old_host: new-gone.example.com, old_backend: "`+old.URL()+`", new_host: new.example.com, new_backend: "http://gone.internal", migration: {enabled: true, percentage: 100}}
  - {name: old-gone, old_host: old-gone.example.com, old_backend: "http://gone.internal", new_host: new.example.com, new_backend: "`+old.URL()+`", migration: {enabled: true, percentage: 100}}
  - {name: both-gone, old_host: both-gone.example.com, old_backend: "http://gone.internal", new_host: new.example.com, new_backend: "http://gone.internal", migration: {enabled: true, percentage: 100}}
`))
	require.NoError(t, err)
	proxy := startRig(t, table, nil).params.Listen.String()
	for _, method := range []string{"GET", "POST"} {
		for host, status := range map[string]string{"new-gone": "200", "old-gone": "200", "both-gone": "502"} {
			answer, err := askOnce(proxy, method+" / HTTP/1.1\r\nHost: "+host+".example.com\r\nContent-Length: 0\r\n\r\n")
			require.NoError(t, err)
			require.Equal(t, status, strings.Fields(answer.Start)[1], "%s %s", method, host)
		}
	}
}

// TestBodiesStreamWithoutFallback: what need not be repeated need not be kept.
// Towards old it is the same.
func TestBodiesStreamWithoutFallback(t *testing.T) {
	t.Parallel()
	for name, more := range map[string]string{"new": allNew + "    fallback: {enabled: false}\n", "old": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startPair(t, more)
			arrived := make(chan string, 2)
			listen := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				for range 2 {
					part := make([]byte, 5)
					_, _ = io.ReadFull(r.Body, part)
					arrived <- string(part)
				}
			})
			p.old.Answer(listen)
			p.new.Answer(listen)
			l := dial(t, p.params.Listen.String())
			_, err := io.WriteString(l, "POST / HTTP/1.1\r\nHost: app.example.com\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
			require.NoError(t, err)
			select {
			case part := <-arrived:
				require.Equal(t, "first", part)
			case <-time.After(patience):
				require.Fail(t, "the body is kept until it is whole")
			}
			_, err = io.WriteString(l, "5\r\nlater\r\n0\r\n\r\n")
			require.NoError(t, err)
			_, _, err = readAnswer(l.reader, "POST")
			require.NoError(t, err)
			require.Equal(t, "later", <-arrived)
		})
	}
}

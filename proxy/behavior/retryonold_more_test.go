package behavior

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// pair is a proxy with one service between two backends.
type pair struct {
	*rig
	old, new *testbed.Backend
}

// startPair serves app.example.com; more is YAML of the service, see
// serviceText. New has a name, so that it can have several addresses: the dead
// ones, and then its own.
func startPair(t *testing.T, more string, dead ...netip.AddrPort) pair {
	return startPairWith(t, "", more, dead...)
}

func startPairWith(t *testing.T, global, more string, dead ...netip.AddrPort) pair {
	p := pair{old: startBackend(t, testbed.Options{Name: "old"}), new: startBackend(t, testbed.Options{Name: "new"})}
	table := loadTable(t, global+"\nservices:"+serviceText("app", p.old.URL(), "http://new.internal", more))
	endpoints := literalEndpoints(table)
	endpoints[table.Service("app").NewBackend] = append(dead, netip.MustParseAddrPort(p.new.Addr()))
	p.rig = startRigAt(t, table, endpoints, nil)
	return p
}

// send returns the status, the backend that answered, and the number of
// requests that each side got.
func (p pair) send(t *testing.T, method, path, id string) []any {
	answer, err := sendOnce(p.params.Listen.String(), fmt.Sprintf(
		"%s %s HTTP/1.1\r\nHost: app.example.com\r\nX-Testbed-Id: %s\r\nContent-Length: 4\r\n\r\nbody", method, path, id))
	require.NoError(t, err)
	return []any{strings.Fields(answer.Start)[1], answer.value(testbed.BackendHeader), p.old.Count(method, path, id), p.new.Count(method, path, id)}
}

func TestDisabledFallback(t *testing.T) {
	t.Parallel()
	p := startPair(t, allNew+"    timeout: 500ms\n    fallback: {enabled: false}\n")
	for _, method := range []string{"PUT", "POST"} {
		require.Equal(t, []any{"503", "new", 0, 1}, p.send(t, method, "/do/status/503", "status"))
		require.Equal(t, []any{"504", "", 0, 1}, p.send(t, method, "/do/hang", "hang"))
	}
	require.Equal(t, []any{"502", "", 0, 1}, p.send(t, "POST", "/do/reset", "reset"))
	p.new.Kill()
	for _, method := range []string{"GET", "POST"} {
		require.Equal(t, []any{"502", "", 0, 0}, p.send(t, method, "/", "refused"))
	}
}

func TestEmptyOnStatus(t *testing.T) {
	t.Parallel()
	p := startPair(t, allNew+"    fallback: {on_status: []}\n")
	for _, method := range []string{"GET", "POST"} {
		for _, status := range []string{"500", "502", "503", "504"} {
			require.Equal(t, []any{status, "new", 0, 1}, p.send(t, method, "/do/status/"+status, status))
		}
	}
	p.old.Answer(testbed.Do(""))
	require.Equal(t, []any{"200", "old"}, p.send(t, "GET", "/do/reset", "reset")[:2])
	require.Equal(t, []any{"502", "", 0, 1}, p.send(t, "POST", "/do/reset", "reset"))
	p.new.Kill()
	require.Equal(t, []any{"200", "old", 1, 0}, p.send(t, "POST", "/", "refused"))
}

// TestNewClosesAnIdleConnection: a POST on the closed connection would be lost,
// and a POST that is always repeated could arrive twice.
func TestNewClosesAnIdleConnection(t *testing.T) {
	t.Parallel()
	p := startPair(t, allNew)
	for i := range 20 {
		id := fmt.Sprint(i)
		require.Equal(t, []any{"200", "new", 0, 1}, p.send(t, "POST", "/first", id))
		p.new.Kill()
		require.NoError(t, p.new.Revive())
		require.Equal(t, []any{"200", "new", 0, 1}, p.send(t, "POST", "/second", id))
	}
}

func TestDeadAddressAmongSeveral(t *testing.T) {
	t.Parallel()
	p := startPair(t, allNew, freeAddress(t), freeAddress(t))
	for i := range 20 {
		require.Equal(t, []any{"200", "new", 0, 1}, p.send(t, "POST", "/", fmt.Sprint(i)), "the third try reaches it")
	}
}

// TestOneTryOnly: nginx uses the addresses in turn, so one of two requests
// meets the dead address and goes to old.
func TestOneTryOnly(t *testing.T) {
	t.Parallel()
	p := startPairWith(t, "global: {retry_attempts: 1}", allNew, freeAddress(t))
	p.old.Answer(testbed.Do(""))
	answers := map[any]int{}
	for i := range 2 {
		answers[p.send(t, "POST", "/", fmt.Sprint(i))[1]]++
	}
	require.Equal(t, map[any]int{"old": 1, "new": 1}, answers)
	atNew := 0
	for i := range 2 {
		got := p.send(t, "PUT", "/do/reset", fmt.Sprint(i))
		require.Equal(t, []any{"200", "old", 1}, got[:3])
		atNew += got[3].(int)
	}
	require.Positive(t, atNew, "new got one first")
}

// TestOldFails: no other backend answers for old, and a request that old may
// have seen is not repeated.
func TestOldFails(t *testing.T) {
	t.Parallel()
	p := startPair(t, "    timeout: 500ms\n")
	require.Equal(t, []any{"502", "", 1, 0}, p.send(t, "POST", "/do/reset", "reset"))
	require.Equal(t, []any{"503", "old", 1, 0}, p.send(t, "GET", "/do/status/503", "status"))
	require.Equal(t, []any{"502", ""}, p.send(t, "GET", "/do/reset", "reset")[:2])
	p.old.Kill()
	require.Equal(t, []any{"502", "", 0, 0}, p.send(t, "POST", "/", "refused"))
}

// TestBothFail: the client gets the failure of old.
func TestBothFail(t *testing.T) {
	t.Parallel()
	p := startPair(t, allNew+"    timeout: 500ms\n")
	require.Equal(t, []any{"503", "old", 1, 1}, p.send(t, "GET", "/do/status/503", "status"))
	require.Equal(t, []any{"503", "new", 0, 1}, p.send(t, "POST", "/do/status/503", "status"))
	require.Equal(t, []any{"502", ""}, p.send(t, "GET", "/do/reset", "reset")[:2])
	p.new.Kill()
	require.Equal(t, []any{"502", "", 1, 0}, p.send(t, "POST", "/do/reset", "refused"))
	p.old.Kill()
	require.Equal(t, []any{"502", "", 0, 0}, p.send(t, "POST", "/", "refused"))
}

// TestUnresolved: a name without an address affects one side of one service.
func TestUnresolved(t *testing.T) {
	t.Parallel()
	old := startBackend(t, testbed.Options{Name: "old"})
	const unresolved = "http://unresolved.internal"
	table := loadTable(t, "services:"+serviceText("new-gone", old.URL(), unresolved, allNew)+
		serviceText("old-gone", unresolved, old.URL(), allNew)+serviceText("both-gone", unresolved, unresolved, allNew))
	proxy := startRig(t, table, nil).params.Listen.String()
	for _, method := range []string{"GET", "POST"} {
		for host, status := range map[string]string{"new-gone": "200", "old-gone": "200", "both-gone": "502"} {
			answer, err := sendOnce(proxy, method+" / HTTP/1.1\r\nHost: "+host+".example.com\r\nContent-Length: 0\r\n\r\n")
			require.NoError(t, err)
			require.Equal(t, status, strings.Fields(answer.Start)[1], "%s %s", method, host)
		}
	}
}

// TestBodiesStreamWithoutFallback: a request that is never repeated is not
// buffered, and so are requests to old.
func TestBodiesStreamWithoutFallback(t *testing.T) {
	t.Parallel()
	for name, more := range map[string]string{"new": allNew + "    fallback: {enabled: false}\n", "old": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startPair(t, more)
			arrived := make(chan string, 2)
			readTwoParts := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				for range 2 {
					part := make([]byte, 5)
					_, _ = io.ReadFull(r.Body, part)
					arrived <- string(part)
				}
			})
			p.old.Answer(readTwoParts)
			p.new.Answer(readTwoParts)
			l := dial(t, p.params.Listen.String())
			_, err := io.WriteString(l, "POST / HTTP/1.1\r\nHost: app.example.com\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
			require.NoError(t, err)
			select {
			case part := <-arrived:
				require.Equal(t, "first", part)
			case <-time.After(patience):
				require.Fail(t, "nginx buffers the body")
			}
			_, err = io.WriteString(l, "5\r\nlater\r\n0\r\n\r\n")
			require.NoError(t, err)
			_, _, err = readAnswer(l.reader, "POST")
			require.NoError(t, err)
			require.Equal(t, "later", <-arrived)
		})
	}
}

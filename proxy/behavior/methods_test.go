package behavior

import (
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/migration-proxy/migration-proxy/migration"
)

// TestMethodsThatAreSentOnce: a new that resets gets each request as often as its
// method allows, whether it has one address or several. RFC 9110, 9.2.2, has the
// idempotent methods; PROPFIND, REPORT and SEARCH are those of WebDAV that only read.
func TestMethodsThatAreSentOnce(t *testing.T) {
	t.Parallel()
	old := startBackend(t, testbed.Options{Name: "old"})
	var seen atomic.Int64
	reset := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		seen.Add(1)
		panic(http.ErrAbortHandler)
	})
	first, second := startBackend(t, testbed.Options{Name: "new"}), startBackend(t, testbed.Options{Name: "new"})
	first.Answer(reset)
	second.Answer(reset)
	table := loadTable(t, "services:"+serviceText("one", old.URL(), "http://one.internal", allNew)+
		serviceText("two", old.URL(), "http://two.internal", allNew)+serviceText("gone", old.URL(), "http://gone.internal", allNew))
	free := freeAddress(t)
	endpoints := literalEndpoints(table)
	for name, to := range map[string][]*testbed.Backend{"one": {first}, "two": {first, second}} {
		backend := table.Service(migration.Name(name)).NewBackend
		for _, b := range to {
			endpoints[backend] = append(endpoints[backend], netip.MustParseAddrPort(b.Addr()))
		}
	}
	endpoints[table.Service("gone").NewBackend] = []netip.AddrPort{free}
	proxy := startRigAt(t, table, endpoints, nil).params.Listen.String()
	for method, want := range map[string]struct {
		times  int64
		status string
	}{
		"GET": {3, "200"}, "HEAD": {3, "200"}, "OPTIONS": {3, "200"}, "PUT": {3, "200"}, "DELETE": {3, "200"},
		"PROPFIND": {3, "200"}, "REPORT": {3, "200"}, "SEARCH": {3, "200"},
		"POST": {1, "502"}, "PATCH": {1, "502"}, "LOCK": {1, "502"},
		"MOVE": {1, "502"}, "COPY": {1, "502"}, "MKCOL": {1, "502"}, "PROPPATCH": {1, "502"}, "UNLOCK": {1, "502"},
		"MKACTIVITY": {1, "502"}, "PURGE": {1, "502"}, "LINK": {1, "502"}, "FROB-NICATE": {1, "502"},
	} {
		for _, host := range []string{"one", "two"} {
			seen.Store(0)
			before := old.Total()
			answer, err := sendOnce(proxy, method+" /x HTTP/1.1\r\nHost: "+host+".example.com\r\nContent-Length: 2\r\n\r\nok")
			require.NoError(t, err, method)
			require.Contains(t, answer.Start, want.status, "%s %s", method, host)
			require.Equal(t, want.times, seen.Load(), "%s %s", method, host)
			require.Equal(t, want.status == "200", old.Total() > before, "%s %s", method, host)
		}
		answer, err := sendOnce(proxy, method+" /x HTTP/1.1\r\nHost: gone.example.com\r\nContent-Length: 2\r\n\r\nok")
		require.NoError(t, err, method)
		require.Contains(t, answer.Start, "200", "%s: new never had the request", method)
	}
}

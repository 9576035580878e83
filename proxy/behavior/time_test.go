package behavior

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// TestConnectingHasALimitOfItsOwn: new drops the packets of connections. Requests reach
// old after one time to connect, however long an answer may take, and whatever the
// number of tries.
func TestConnectingHasALimitOfItsOwn(t *testing.T) {
	t.Parallel()
	old := startBackend(t, testbed.Options{Name: "old"})
	dead := "http://" + unresponsiveAddress(t)
	r := startRig(t, loadTable(t, "global: {default_timeout: 1h}\nservices:"+
		serviceText("app", old.URL(), dead, allNew+"    connect_timeout: 300ms\n")), nil)
	for _, method := range []string{"GET", "POST"} {
		begun := time.Now()
		answer, err := sendOnce(r.params.Listen.String(), method+" / HTTP/1.1\r\nHost: app.example.com\r\nContent-Length: 0\r\n\r\n")
		require.NoError(t, err)
		require.Equal(t, "old", answer.value(testbed.BackendHeader))
		require.GreaterOrEqual(t, time.Since(begun), 300*time.Millisecond)
		require.Less(t, time.Since(begun), 550*time.Millisecond, "one time to connect, not two")
	}
}

// TestHungAddressAmongSeveral: a request that meets the address that hangs is tried at
// the next one, at either side.
func TestHungAddressAmongSeveral(t *testing.T) {
	t.Parallel()
	dead := netip.MustParseAddrPort(unresponsiveAddress(t))
	old, new := startBackend(t, testbed.Options{Name: "old"}), startBackend(t, testbed.Options{Name: "new"})
	table := loadTable(t, "global: {default_timeout: 1h, connect_timeout: 200ms}\nservices:"+
		serviceText("zero", "http://old.internal", "http://127.0.0.1:1", "")+
		serviceText("full", "http://127.0.0.1:1", "http://new.internal", allNew))
	endpoints := literalEndpoints(table)
	endpoints[table.Service("zero").OldBackend] = []netip.AddrPort{dead, netip.MustParseAddrPort(old.Addr())}
	endpoints[table.Service("full").NewBackend] = []netip.AddrPort{dead, netip.MustParseAddrPort(new.Addr())}
	r := startRigAt(t, table, endpoints, nil)
	for host, side := range map[string]string{"zero": "old", "full": "new"} {
		for i := range 8 {
			answer, err := sendOnce(r.params.Listen.String(), fmt.Sprintf("POST / HTTP/1.1\r\nHost: %s.example.com\r\nContent-Length: 2\r\n\r\nok", host))
			require.NoError(t, err)
			require.Equal(t, side, answer.value(testbed.BackendHeader), "request %d", i)
		}
	}
}

// silent answers after a pause: the head of an answer, an event stream whose second
// event comes late, or an upgraded connection that says nothing before it echoes.
func silent(pause time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/late":
			time.Sleep(pause)
			_, _ = io.WriteString(w, "late")
		case "/events":
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: 1\n\n")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(pause)
			_, _ = io.WriteString(w, "data: 2\n\n")
		case "/upgrade":
			upgrader := websocket.Upgrader{}
			conn, err := upgrader.Upgrade(w, r, http.Header{testbed.BackendHeader: {w.Header().Get(testbed.BackendHeader)}})
			if err != nil {
				return
			}
			defer func() { _ = conn.Close() }()
			time.Sleep(pause)
			_ = conn.WriteMessage(websocket.TextMessage, []byte("late"))
		}
	})
}

// startSilent serves zero.example.com (all old) and full.example.com and
// bare.example.com (all new, bare without a fallback) with a timeout that is shorter
// than the pauses of both sides.
func startSilent(t *testing.T) string {
	old, new := startBackend(t, testbed.Options{Name: "old"}), startBackend(t, testbed.Options{Name: "new"})
	old.Answer(silent(900 * time.Millisecond))
	new.Answer(silent(900 * time.Millisecond))
	return startRig(t, loadTable(t, "global: {default_timeout: 300ms}\nservices:"+
		serviceText("zero", old.URL(), new.URL(), "")+
		serviceText("full", old.URL(), new.URL(), allNew)+
		serviceText("bare", old.URL(), new.URL(), allNew+"    fallback: {enabled: false}\n")), nil).params.Listen.String()
}

// TestTheProxyGivesUpOnNewOnly: old may take as long as it likes, as without the proxy.
// New must begin its answer within the timeout, and old answers in its place.
func TestTheProxyGivesUpOnNewOnly(t *testing.T) {
	t.Parallel()
	proxy := startSilent(t)
	for host, want := range map[string][2]string{"zero": {"200", "old"}, "full": {"200", "old"}, "bare": {"504", ""}} {
		answer, err := sendOnce(proxy, "GET /late HTTP/1.1\r\nHost: "+host+".example.com\r\n\r\n")
		require.NoError(t, err)
		require.Equal(t, want, [2]string{strings.Fields(answer.Start)[1], answer.value(testbed.BackendHeader)}, host)
	}
}

// TestStreamsMayBeSilent: event streams and upgraded connections of both sides are
// silent for longer than the timeout.
func TestStreamsMayBeSilent(t *testing.T) {
	t.Parallel()
	proxy := startSilent(t)
	var streams sync.WaitGroup // beside each other: they only wait
	defer streams.Wait()
	for host, side := range map[string]string{"zero": "old", "full": "new", "bare": "new"} {
		for _, accept := range []string{"text/event-stream", "Text/Event-Stream", "text/event-stream, */*"} {
			streams.Go(func() {
				answer, err := sendOnce(proxy, "GET /events HTTP/1.1\r\nHost: "+host+".example.com\r\nAccept: "+accept+"\r\n\r\n")
				if err != nil {
					t.Error(err)
					return
				}
				assert.Equal(t, side, answer.value(testbed.BackendHeader))
				assert.Equal(t, "data: 1\n\ndata: 2\n\n", answer.Body, host)
			})
		}
		dialer := websocket.Dialer{HandshakeTimeout: patience}
		conn, upgraded, err := dialer.Dial("ws://"+proxy+"/upgrade", http.Header{"Host": {host + ".example.com"}})
		require.NoError(t, err)
		require.Equal(t, side, upgraded.Header.Get(testbed.BackendHeader))
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
		_, text, err := conn.ReadMessage()
		require.NoError(t, err, host)
		require.Equal(t, "late", string(text))
		_ = conn.Close()
	}
}

// TestRequestsForStreamsAreRescued: a new that fails such a request is replaced as for
// any other, and one that must not be repeated stays at new.
func TestRequestsForStreamsAreRescued(t *testing.T) {
	t.Parallel()
	p := startPair(t, allNew)
	p.old.Answer(testbed.Do(""))
	for _, head := range []string{"Accept: text/event-stream", "Connection: upgrade\r\nUpgrade: websocket", "Accept: text/event-stream\r\nConnection: upgrade\r\nUpgrade: websocket"} {
		for _, path := range []string{"/do/status/503", "/do/reset"} {
			answer, err := sendOnce(p.params.Listen.String(), "GET "+path+" HTTP/1.1\r\nHost: app.example.com\r\n"+head+"\r\n\r\n")
			require.NoError(t, err)
			require.Equal(t, "old", answer.value(testbed.BackendHeader), head+path)
		}
		answer, err := sendOnce(p.params.Listen.String(), "POST /do/status/503 HTTP/1.1\r\nHost: app.example.com\r\n"+head+"\r\nContent-Length: 0\r\n\r\n")
		require.NoError(t, err)
		require.Equal(t, "new", answer.value(testbed.BackendHeader), head)
	}
}

// TestKeptConnections: an idle connection ends before the backend's own time, and no
// connection carries more requests than it may.
func TestKeptConnections(t *testing.T) {
	t.Parallel()
	var opened, closed atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			opened.Add(1)
		case http.StateClosed:
			closed.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	start := func(setting string) (request func()) {
		text := "services:" + serviceText("app", server.URL, "http://192.0.2.1:1", "    keepalive: {"+setting+"}\n")
		proxy := startRig(t, loadTable(t, text), nil).params.Listen.String()
		opened.Store(0)
		closed.Store(0)
		return func() {
			answer, err := sendOnce(proxy, "GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n")
			require.NoError(t, err)
			require.Equal(t, "HTTP/1.1 200 OK", answer.Start)
		}
	}
	request := start("idle: 1h")
	request()
	request()
	require.EqualValues(t, 1, opened.Load())

	request = start("requests: 1")
	request()
	request()
	require.EqualValues(t, 2, opened.Load())

	request = start("idle: 50ms")
	request()
	require.Eventually(t, func() bool { return closed.Load() == 1 }, patience, quick)
}

package behavior

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/migration-proxy/migration-proxy/nginxgen"
)

// startBackend starts a testbed backend until the test ends.
func startBackend(t testing.TB, options testbed.Options) *testbed.Backend {
	backend, err := testbed.Start(options)
	require.NoError(t, err)
	t.Cleanup(backend.Kill)
	return backend
}

// startSides starts a proxy with the hosts old.example.com (all old),
// new.example.com (all new), bare.example.com (all new, no fallback) and
// small.example.com (uploads of at most 1 KB).
func startSides(t *testing.T, global string) *rig {
	old, new := startBackend(t, testbed.Options{Name: "old"}), startBackend(t, testbed.Options{Name: "new"})
	text := global + "\nservices:"
	for _, s := range []struct{ name, more string }{
		{"old", "    migration: {enabled: false, percentage: 100}\n"},
		{"new", allNew},
		{"bare", allNew + "    fallback: {enabled: false}\n"},
		{"small", allNew + "    max_body_size: 1k\n"},
	} {
		text += serviceText(s.name, old.URL(), new.URL(), s.more)
	}
	return startRig(t, loadTable(t, text), nil)
}

func TestStreams(t *testing.T) {
	t.Parallel()
	proxy := startSides(t, "").params.Listen.String()
	t.Run("streams", func(t *testing.T) {
		for name, check := range map[string]func(t *testing.T, proxy, host string){
			"events are not buffered": eventsAreNotBuffered,
			"upload of 10 MB":         uploads,
			"download of 10 MB":       downloads,
			"websocket":               websocketEchoes,
			"other upgrades":          otherUpgradesPass,
			"100 continue":            continues,
			"early hints":             earlyHintsPass,
			"pipelined":               pipelines,
			"HTTP/1.0 keep-alive":     http10KeepAlive,
			"h2c is not offered":      refusesH2C,
		} {
			for _, host := range []string{"old.example.com", "new.example.com", "bare.example.com"} {
				t.Run(name+" "+host, func(t *testing.T) {
					t.Parallel()
					check(t, proxy, host)
				})
			}
		}
	})
}

// eventsAreNotBuffered: the backend sends 10 events 20 ms apart. With buffering,
// the first would arrive together with the last.
func eventsAreNotBuffered(t *testing.T, proxy, host string) {
	for _, path := range []string{"/do/sse/10", "/do/slow/10"} {
		l := dial(t, proxy)
		begun := time.Now()
		_, err := fmt.Fprintf(l, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, host)
		require.NoError(t, err)
		_, err = readHead(l.reader)
		require.NoError(t, err)
		_, err = readLines(l.reader) // a chunk's size, its event, and an empty line
		require.NoError(t, err)
		first := time.Since(begun)
		_, err = io.Copy(io.Discard, l.reader)
		require.NoError(t, err)
		require.Less(t, first, time.Since(begun)-100*time.Millisecond, "the first event arrived with the last")
	}
}

func uploads(t *testing.T, proxy, host string) {
	body := make([]byte, 10<<20)
	_, err := rand.Read(body)
	require.NoError(t, err)
	for _, method := range []string{"PUT", "POST"} {
		echo := askEcho(t, proxy, fmt.Sprintf("%s /up HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", method, host, len(body), body))
		sum := sha256.Sum256(body)
		require.Equal(t, hex.EncodeToString(sum[:]), echo.BodySHA256)
	}
}

func downloads(t *testing.T, proxy, host string) {
	answer, _ := dial(t, proxy).send(t, "GET /do/big/10485760 HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
	require.Len(t, answer.Body, 10<<20)
	require.Equal(t, "10485760", answer.value("Content-Length"))
}

func websocketEchoes(t *testing.T, proxy, host string) {
	dialer := websocket.Dialer{HandshakeTimeout: patience, Subprotocols: []string{"chat"}}
	conn, answer, err := dialer.Dial("ws://"+proxy+"/do/websocket", http.Header{"Host": {host}})
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.Equal(t, http.StatusSwitchingProtocols, answer.StatusCode)
	for _, message := range []string{"first", strings.Repeat("long ", 50000), ""} {
		require.NoError(t, conn.WriteMessage(websocket.BinaryMessage, []byte(message)))
		kind, back, err := conn.ReadMessage()
		require.NoError(t, err)
		require.Equal(t, websocket.BinaryMessage, kind)
		require.Equal(t, message, string(back))
	}
	require.NoError(t, conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, "bye")))
	_, _, err = conn.ReadMessage()
	require.True(t, websocket.IsCloseError(err, websocket.CloseNormalClosure), err)
}

// continues sends the body only after 100 Continue.
func continues(t *testing.T, proxy, host string) {
	l := dial(t, proxy)
	_, err := fmt.Fprintf(l, "POST /up HTTP/1.1\r\nHost: %s\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", host)
	require.NoError(t, err)
	head, err := readHead(l.reader)
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1 100 Continue", head.Start)
	_, err = io.WriteString(l, "hello")
	require.NoError(t, err)
	answer, _, err := readAnswer(l.reader, "POST")
	require.NoError(t, err)
	require.EqualValues(t, 5, parseEcho(t, answer).BodyBytes)
}

// earlyHintsPass: 103 reaches clients that understand it. Before 1.29, nginx reads
// 103 as the whole response and passes the rest without parsing it, so the test
// only requires that the response arrives.
func earlyHintsPass(t *testing.T, proxy, host string) {
	answer, informed := dial(t, proxy).send(t, "GET /do/hints HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
	require.Equal(t, "HTTP/1.1 200 OK", answer.Start)
	require.Equal(t, []string{"HTTP/1.1 103 Early Hints"}, informed)
	if nginxVersion(t).Before(nginxgen.Version{Major: 1, Minor: 29}) {
		return
	}
	answer, informed = dial(t, proxy).send(t, "GET /do/hints HTTP/1.0\r\nHost: "+host+"\r\n\r\n")
	require.Equal(t, "HTTP/1.1 200 OK", answer.Start)
	require.Empty(t, informed, "a client of HTTP/1.0 does not understand 103")
}

func pipelines(t *testing.T, proxy, host string) {
	l := dial(t, proxy)
	var text strings.Builder
	for i := range 20 {
		fmt.Fprintf(&text, "POST /p/%d HTTP/1.1\r\nHost: %s\r\nContent-Length: 2\r\n\r\nok", i, host)
	}
	_, err := io.WriteString(l, text.String())
	require.NoError(t, err)
	for i := range 20 {
		answer, _, err := readAnswer(l.reader, "POST")
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("/p/%d", i), parseEcho(t, answer).Target)
	}
}

func http10KeepAlive(t *testing.T, proxy, host string) {
	l := dial(t, proxy)
	for range 3 {
		answer, _ := l.send(t, "GET /x HTTP/1.0\r\nHost: "+host+"\r\nConnection: keep-alive\r\n\r\n")
		require.Equal(t, "keep-alive", answer.value("Connection"))
	}
	answer, _ := l.send(t, "GET /x HTTP/1.0\r\nHost: "+host+"\r\n\r\n")
	require.Equal(t, "close", answer.value("Connection"))
	_, err := l.reader.ReadByte()
	require.ErrorIs(t, err, io.EOF)
}

// refusesH2C: with an upgrade that passes, a client could talk to the backend
// without the proxy.
func refusesH2C(t *testing.T, proxy, host string) {
	for _, upgrade := range []string{"h2c", "HTTP/2.0", "h2c, websocket", "websocket, h2c", "foo/2 , TLS/1.2", "H2C"} {
		echo := askEcho(t, proxy, "GET /x HTTP/1.1\r\nHost: "+host+"\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: "+upgrade+"\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n")
		require.NotContains(t, echo.Header, "Upgrade")
		require.NotContains(t, echo.Header, "Connection")
	}
}

// otherUpgradesPass: what a controller passes to old, such as SPDY of kubectl exec.
func otherUpgradesPass(t *testing.T, proxy, host string) {
	for _, upgrade := range []string{"tcp", "SPDY/3.1", "ssh", "websocket2", "foo/2, bar"} {
		echo := askEcho(t, proxy, "GET /x HTTP/1.1\r\nHost: "+host+"\r\nConnection: Upgrade\r\nUpgrade: "+upgrade+"\r\n\r\n")
		require.Equal(t, []string{upgrade}, echo.Header["Upgrade"])
		require.Equal(t, []string{"upgrade"}, echo.Header["Connection"])
	}
}

func askEcho(t *testing.T, proxy, text string) testbed.Echo {
	answer, _ := dial(t, proxy).send(t, text)
	return parseEcho(t, answer)
}

func parseEcho(t *testing.T, answer message) testbed.Echo {
	var echo testbed.Echo
	require.NoError(t, json.Unmarshal([]byte(answer.Body), &echo), "%v", answer)
	return echo
}

// TestRefusals: the answers that come from the proxy and not from a backend.
func TestRefusals(t *testing.T) {
	t.Parallel()
	proxy := startSides(t, "").params.Listen.String()
	for name, c := range map[string]struct{ request, status, body string }{
		"unknown host":          {"GET / HTTP/1.1\r\nHost: nobody.example.com\r\n\r\n", "421", "migration-proxy: no service has this host\n"},
		"HTTP/1.0 without Host": {"GET / HTTP/1.0\r\n\r\n", "421", "migration-proxy: no service has this host\n"},
		"HTTP/1.1 without Host": {"GET / HTTP/1.1\r\n\r\n", "400", ""},
		"two hosts":             {"GET / HTTP/1.1\r\nHost: old.example.com\r\nHost: new.example.com\r\n\r\n", "400", ""},
		"OPTIONS *":             {"OPTIONS * HTTP/1.1\r\nHost: new.example.com\r\n\r\n", "400", ""},
		"above the root":        {"GET /../x HTTP/1.1\r\nHost: new.example.com\r\n\r\n", "400", ""},
		"too large":             {"POST / HTTP/1.1\r\nHost: small.example.com\r\nContent-Length: 1025\r\n\r\n" + strings.Repeat("x", 1025), "413", ""},
		"too large, chunked":    {"POST / HTTP/1.1\r\nHost: small.example.com\r\nTransfer-Encoding: chunked\r\n\r\n500\r\n" + strings.Repeat("x", 0x500) + "\r\n0\r\n\r\n", "413", ""},
		"maximum size":          {"POST / HTTP/1.1\r\nHost: small.example.com\r\nContent-Length: 1024\r\n\r\n" + strings.Repeat("x", 1024), "200", ""},
		"two lengths":           {"POST / HTTP/1.1\r\nHost: new.example.com\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400", ""},
		"header of 40 KB":       {"GET / HTTP/1.1\r\nHost: new.example.com\r\nX: " + strings.Repeat("x", 40<<10) + "\r\n\r\n", "400", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer, _ := dial(t, proxy).send(t, c.request)
			require.Equal(t, c.status, strings.Fields(answer.Start)[1], answer)
			if c.body != "" {
				require.Equal(t, c.body, answer.Body)
			}
		})
	}
}

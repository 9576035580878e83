package behavior

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy/accesslog"
)

// unaskedCase is a request that nginx answers before it asks a backend.
type unaskedCase struct {
	name, text string
	broken     bool // the client closes its connection at once
	status     int
	service    string // in the log; "" where nginx has not chosen one
}

func unaskedCases(host string) []unaskedCase {
	head := func(method, lines string) string {
		return method + " / HTTP/1.1\r\nHost: " + host + ".example.com\r\n" + lines + "\r\n\r\n"
	}
	return []unaskedCase{
		{"upload broken off", head("POST", "Content-Length: 9000") + "xx", true, 400, host},
		{"idempotent upload broken off", head("PUT", "Content-Length: 9000") + "xx", true, 400, host},
		{"chunks broken off", head("POST", "Transfer-Encoding: chunked") + "5\r\nhe", true, 400, host},
		{"too large by length", head("POST", "Content-Length: 90000") + "x", false, 413, host},
		{"too large in chunks", head("PUT", "Transfer-Encoding: chunked") + "8000\r\n" + strings.Repeat("x", 0x8000) + "\r\n0\r\n\r\n", false, 413, host},
		{"bad chunk", head("POST", "Transfer-Encoding: chunked") + "zz\r\n", false, 400, host},
		{"long target", "GET /" + strings.Repeat("x", 40000) + " HTTP/1.1\r\n\r\n", false, 414, ""},
		{"large header", head("GET", "X: "+strings.Repeat("x", 40000)), false, 400, ""},
		{"half a request line", "GET / HT", true, 400, ""},
		{"two lengths", head("POST", "Content-Length: 1\r\nContent-Length: 2") + "x", false, 400, ""},
	}
}

// TestRequestsThatNoBackendGot: no side is named for them, and none is judged.
func TestRequestsThatNoBackendGot(t *testing.T) {
	t.Parallel()
	old, new := startBackend(t, testbed.Options{Name: "old"}), startBackend(t, testbed.Options{Name: "new"})
	const limit = "    max_body_size: 10k\n"
	table := loadTable(t, "global: {debug_headers: true}\nservices:"+
		serviceText("full", old.URL(), new.URL(), allNew+limit+"    fallback: {on_status: [400, 413, 503]}\n")+
		serviceText("plain", old.URL(), new.URL(), allNew+limit)+
		serviceText("rule", old.URL(), new.URL(), limit+`    migration: {enabled: true}
    canary: {header_rules: [{header: Host, pattern: ".", target: new_cluster}]}
`))
	r := &rig{table: table, params: newParams(t)}
	urgent, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(r.params.RuntimeDir, "failures.sock"), Net: "unixgram"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = urgent.Close() })
	require.NoError(t, os.Chmod(urgent.LocalAddr().String(), 0o666))
	r.start(t, literalEndpoints(table))
	log := &logLines{path: filepath.Join(r.params.RuntimeDir, "access.log")}
	for _, host := range []string{"full", "plain", "rule"} {
		for _, c := range unaskedCases(host) {
			answer := c.send(t, r.params.Listen.String())
			require.NotContains(t, answer, "X-Migration-Side", c.name)
			requireUnasked(t, log.next(t), host, c)
		}
	}
	require.Equal(t, []int{0, 0}, []int{old.Total(), new.Total()})
	require.NoError(t, urgent.SetReadDeadline(time.Now().Add(10*time.Millisecond)))
	_, err = urgent.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded, "a failure of new was reported")
}

// TestClientsThatStopSending: nginx gives up after a minute, here at once, and logs 408. It
// is nobody's failure: no backend is named that was not asked, and none is judged.
func TestClientsThatStopSending(t *testing.T) {
	t.Parallel()
	old, new := startBackend(t, testbed.Options{Name: "old"}), startBackend(t, testbed.Options{Name: "new"})
	r := &rig{params: newParams(t), more: "client_header_timeout 50ms; client_body_timeout 50ms;", table: loadTable(t, "services:"+
		serviceText("full", old.URL(), new.URL(), allNew+"    fallback: {on_status: [408, 503]}\n")+
		serviceText("off", old.URL(), new.URL(), allNew+"    fallback: {enabled: false}\n"))}
	r.start(t, literalEndpoints(r.table))
	log := &logLines{path: filepath.Join(r.params.RuntimeDir, "access.log")}
	for _, c := range []struct{ text, service string }{
		{"GET / HTTP/1.1\r\nHost: full.exa", ""},
		{"POST / HTTP/1.1\r\nHost: full.example.com\r\nContent-Length: 9000\r\n\r\nxx", "full"},
		{"PUT / HTTP/1.1\r\nHost: full.example.com\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe", "full"},
		{"POST / HTTP/1.1\r\nHost: off.example.com\r\nContent-Length: 9000\r\n\r\nxx", "off"},
	} {
		stopSending(t, r.params.Listen.String(), c.text)
		require.Contains(t, log.next(t), "nobody.example.com")
		line := log.next(t)
		event, err := accesslog.Parse([]byte(line))
		require.NoError(t, err)
		require.Equal(t, []any{408, c.service}, []any{event.Status, string(event.Service)}, line)
		require.Equal(t, []any{fallback.Failure(""), false}, []any{event.New.Failure(), event.New.Finished()}, line)
	}
	require.Zero(t, old.Total())
}

// stopSending sends a whole request, whose answer tells that nginx has read the text after
// it. A connection of which it has read nothing ends without a line in the log, which a
// client without CPU time cannot avoid.
func stopSending(t *testing.T, to, text string) {
	answer := ""
	for i := 0; i < 100 && answer == ""; i++ {
		conn := dial(t, to)
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: nobody.example.com\r\n\r\n"+text)
		all, _ := io.ReadAll(conn)
		answer = string(all)
	}
	require.Contains(t, answer, "HTTP/1.1 421 ")
	require.Equal(t, 1, strings.Count(answer, "HTTP/1.1 "), "nginx closes the connection without another answer: %s", answer)
}

// send gives the head of the answer, or "" if there is none.
func (c unaskedCase) send(t *testing.T, to string) string {
	conn := dial(t, to)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.WriteString(conn, c.text)
	}()
	if c.broken {
		<-sent
		require.NoError(t, conn.Close())
		return ""
	}
	lines, err := readLines(conn.reader)
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	return strings.Join(lines, "\n")
}

func requireUnasked(t *testing.T, line string, host string, c unaskedCase) {
	require.Contains(t, line, ` backend="" `, c.name)
	event, err := accesslog.Parse([]byte(line))
	require.NoError(t, err)
	require.Equal(t, []any{c.status, c.service}, []any{event.Status, string(event.Service)}, "%s: %s", c.name, line)
	require.Equal(t, []any{migration.Side(""), migration.Side(""), migration.Code(""), 0, 0},
		[]any{event.Answered, event.Decision, event.Reason, event.New.Tries, event.Old.Tries}, "%s: %s", c.name, line)
	if c.status == 413 {
		require.Equal(t, []string{host + ".example.com", "/"}, []string{string(event.Host), string(event.Target)})
	}
}

// logLines reads the access log line by line.
type logLines struct {
	path string
	read int
}

func (l *logLines) next(t *testing.T) string {
	var line string
	require.Eventually(t, func() bool {
		text, _ := os.ReadFile(l.path)
		lines := strings.SplitAfter(string(text), "\n")
		if len(lines) < l.read+2 {
			return false
		}
		line = strings.TrimSpace(lines[l.read])
		return true
	}, patience, quick, "no line %d in the access log", l.read)
	l.read++
	return line
}

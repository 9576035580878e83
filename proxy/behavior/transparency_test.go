package behavior

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/migration"
)

// newHost is the name of the services in the new cluster.
const newHost = "app.new.example.com"

// added has the request headers that the proxy sets (see TestClientFacts), and
// those of a single hop.
var added = []string{
	"X-Case", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Real-IP", "X-Request-ID",
	"Host", "Connection", "Keep-Alive", "Upgrade", "TE", "Transfer-Encoding", "Content-Length", "Expect",
}

// perHop has the response headers of a single hop; message.Framing has their
// meaning.
var perHop = []string{"Connection", "Keep-Alive", "Transfer-Encoding"}

// exchange is one request with the response of the backend, from a file below
// testdata/transparency:
//
//	== name
//	> request line, and headers; {host} is the name that the client uses
//	< the response of the backend; {self} is the Host it got, {length} the
//	  length of the body, {20k} 20 KB of text
//	= Name: value     the header that a client of new gets instead
//	! difference      that nginx cannot avoid, see unavoidable
type exchange struct {
	name, request, answer string
	translated            []string
	differs               []string
}

const plainAnswer = "HTTP/1.1 200 OK\r\nServer: backend/1.0\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"

func exchanges(t *testing.T) []exchange {
	files, err := filepath.Glob("testdata/transparency/*.txt")
	require.NoError(t, err)
	var all []exchange
	names := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, part := range strings.Split(string(text), "\n== ")[1:] {
			e := parseExchange(t, part)
			require.False(t, names[e.name], "two exchanges are named %q", e.name)
			names[e.name] = true
			all = append(all, e)
		}
	}
	return all
}

func parseExchange(t *testing.T, text string) exchange {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	e := exchange{name: lines[0]}
	var request, answer []string
	for _, line := range lines[1:] {
		rest := strings.TrimPrefix(line[min(1, len(line)):], " ")
		switch line[:min(1, len(line))] {
		case ">":
			request = append(request, rest)
		case "<":
			answer = append(answer, rest)
		case "=":
			e.translated = append(e.translated, rest)
		case "!":
			require.Contains(t, unavoidable, rest, e.name)
			e.differs = append(e.differs, rest)
		case "#", "":
		default:
			require.Fail(t, "unknown line", "%s: %s", e.name, line)
		}
	}
	e.request, e.answer = wireText(request), plainAnswer
	if len(answer) > 0 {
		e.answer = wireText(answer)
	}
	return e
}

// wireText joins the lines of head and body.
func wireText(lines []string) string {
	if !slices.Contains(lines, "") {
		lines = append(lines, "", "")
	}
	text := strings.ReplaceAll(strings.Join(lines, "\r\n"), "{20k}", strings.Repeat("0123456789", 2000))
	_, body, _ := strings.Cut(text, "\r\n\r\n")
	return strings.ReplaceAll(text, "{length}", strconv.Itoa(len(body)))
}

// transparencyTable has the hosts zero (all old), full (all new) and bare (all
// new without a fallback, so that request bodies are not buffered).
func transparencyTable(t *testing.T, old, new *wire) *migration.Table {
	oldBackend, newBackend := "http://"+old.address, "http://"+new.address
	return loadTable(t, "services:"+
		serviceText("zero", oldBackend, newBackend, "    migration: {enabled: true, percentage: 0}\n")+
		serviceText("full", oldBackend, newBackend, allNew)+
		serviceText("bare", oldBackend, newBackend, allNew+"    fallback: {enabled: false}\n"))
}

// TestTransparency sends every exchange to both backends directly and through
// the proxy, and compares the responses, and the requests that the backends got.
func TestTransparency(t *testing.T) {
	t.Parallel()
	old, new := startWire(t), startWire(t)
	proxy := startRig(t, transparencyTable(t, old, new), nil).params.Listen.String()
	all := exchanges(t)
	t.Run("exchanges", func(t *testing.T) {
		for _, e := range all {
			t.Run(e.name, func(t *testing.T) {
				t.Parallel()
				for _, c := range []comparison{
					{e, old, "zero.example.com", "zero.example.com", proxy},
					{e, new, newHost, "full.example.com", proxy},
					{e, new, newHost, "bare.example.com", proxy},
				} {
					c.compare(t)
				}
			})
		}
	})
}

// comparison is one exchange with one backend: directly with the backend's own
// name, and through the proxy with the name that clients use.
type comparison struct {
	exchange
	backend           *wire
	ownName, usedName string
	proxy             string
}

func (l comparison) compare(t *testing.T) {
	want, wantAtBackend := l.send(t, l.ownName, l.backend.address)
	got, gotAtBackend := l.send(t, l.usedName, l.proxy)
	if l.ownName != l.usedName {
		want.Header = l.translate(want.Header)
	}
	for _, name := range l.differs {
		difference := unavoidable[name]
		if difference.answer != nil {
			difference.answer(t, &want, &got)
		}
		if difference.request != nil {
			difference.request(t, &wantAtBackend, &gotAtBackend)
		}
	}
	context := fmt.Sprintf("%s through %s", l.name, l.usedName)
	require.Equal(t, want.Start, got.Start, context)
	require.Equal(t, want.without(perHop...), got.without(perHop...), context)
	require.Equal(t, want.Framing, got.Framing, context)
	require.Equal(t, want.Body, got.Body, context)
	require.Equal(t, want.Trailer, got.Trailer, context)

	require.Equal(t, wantAtBackend.Start, gotAtBackend.Start, context)
	require.Equal(t, wantAtBackend.without(added...), gotAtBackend.without(added...), context)
	require.Equal(t, wantAtBackend.Framing, gotAtBackend.Framing, context)
	require.Equal(t, wantAtBackend.Trailer, gotAtBackend.Trailer, context)
	require.Equal(t, wantAtBackend.Body, gotAtBackend.Body, context)
	require.Equal(t, []string{l.wantHost(wantAtBackend)}, gotAtBackend.values("Host"), context)
}

// wantHost is the Host of the client for old, and the name of new for new.
func (l comparison) wantHost(direct message) string {
	if l.ownName == newHost {
		return newHost
	}
	return direct.value("Host")
}

func (l comparison) translate(header []string) []string {
	translated := message{Header: header}
	for _, line := range l.translated {
		name, _, _ := strings.Cut(line, ":")
		translated.Header = translated.without(name)
	}
	for _, line := range l.translated {
		translated.Header = append(translated.Header, strings.ReplaceAll(line, "{host}", l.usedName))
	}
	return translated.Header
}

func (l comparison) send(t *testing.T, host, to string) (answer, atBackend message) {
	id := strings.ReplaceAll(fmt.Sprintf("%s %s %s", l.name, l.usedName, host+to), " ", "-")
	l.backend.answer(id, l.answer)
	start, rest, _ := strings.Cut(strings.ReplaceAll(l.request, "{host}", host), "\r\n")
	answer, _ = dial(t, to).send(t, start+"\r\nX-Case: "+id+"\r\n"+rest)
	received := l.backend.received(id)
	require.Len(t, received, 1, "%s by %s: the backend must get one request; the answer is %v", l.name, host, answer)
	return answer, received[0]
}

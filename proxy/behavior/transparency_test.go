package behavior

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/nginxgen"
)

// newHost is the name of the services in the new cluster.
const newHost = "app.new.example.com"

// aboutTheClient has the request headers that a proxy at the edge sets (see
// TestClientFacts).
var aboutTheClient = []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Real-IP", "X-Request-ID", "X-Forwarded-Host"}

// perHopToBackends has the request headers of a single hop, and the number of the
// case. Host is compared by itself.
var perHopToBackends = []string{"X-Case", "Host", "Connection", "Keep-Alive", "Upgrade", "TE", "Transfer-Encoding", "Content-Length", "Expect"}

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
//	= Name: value     the header that a client of new gets instead; with a version
//	                  of nginx after the =, only from that version on
//	! difference      that nginx cannot avoid, see unavoidable
//
// Lines > before the first case are the request of those that have no request line;
// what such a case has is added. Lines < there are the headers and the body of answers
// that have no Server.
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
		parts := strings.Split(string(text), "\n== ")
		request, answer := linesWith(">", parts[0]), linesWith("<", parts[0])
		for _, part := range parts[1:] {
			e := parseExchange(t, part, request, answer)
			require.False(t, names[e.name], "two exchanges are named %q", e.name)
			names[e.name] = true
			all = append(all, e)
		}
	}
	return all
}

func parseExchange(t *testing.T, text string, commonRequest, commonAnswer []string) exchange {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	e := exchange{name: lines[0]}
	for _, line := range lines[1:] {
		rest := strings.TrimPrefix(line[min(1, len(line)):], " ")
		switch line[:min(1, len(line))] {
		case "=":
			if header, holds := fromVersion(t, line[1:]); holds {
				e.translated = append(e.translated, header)
			}
		case "!":
			require.Contains(t, unavoidable, rest, e.name)
			e.differs = append(e.differs, rest)
		case ">", "<", "#", "":
		default:
			require.Fail(t, "unknown line", "%s: %s", e.name, line)
		}
	}
	request, answer := linesWith(">", text), linesWith("<", text)
	if len(request) == 0 || !strings.Contains(request[0], " HTTP/") {
		request = slices.Concat(commonRequest, request)
	}
	switch {
	case len(answer) == 0:
		e.answer = plainAnswer
	case slices.ContainsFunc(answer, func(line string) bool { return strings.HasPrefix(line, "Server:") }):
		e.answer = wireText(answer)
	default:
		e.answer = wireText(append(answer, commonAnswer...))
	}
	e.request = wireText(request)
	return e
}

// linesWith has the rest of the lines that begin with a mark.
func linesWith(mark, text string) []string {
	var lines []string
	for _, line := range strings.Split(text, "\n") {
		if rest, ok := strings.CutPrefix(line, mark); ok {
			lines = append(lines, strings.TrimPrefix(rest, " "))
		}
	}
	return lines
}

// fromVersion reads "1.23 Name: value" or " Name: value".
func fromVersion(t *testing.T, text string) (header string, holds bool) {
	first, header, _ := strings.Cut(text, " ")
	if first == "" {
		return header, true
	}
	version, err := nginxgen.ParseVersion("nginx/" + first + ".0")
	require.NoError(t, err)
	return header, !nginxVersion(t).Before(version)
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

// transparencyTable has the hosts zero (all old), full (all new), bare (all new
// without a fallback, so that request bodies are not buffered), and the same as zero
// and full with a sticky cookie, which no answer has there, and with overTLS.
func transparencyTable(t *testing.T, old, new *wire, global string) *migration.Table {
	oldBackend, newBackend := "http://"+old.address, "http://"+new.address
	return loadTable(t, global+"\nservices:"+overTLS(t, old, new)+
		serviceText("zero", oldBackend, newBackend, "    migration: {enabled: true, percentage: 0}\n")+
		serviceText("full", oldBackend, newBackend, allNew)+
		serviceText("bare", oldBackend, newBackend, allNew+"    fallback: {enabled: false}\n")+
		serviceText("sticky-zero", oldBackend, newBackend, stickyService(0, ""))+
		serviceText("sticky-full", oldBackend, newBackend, stickyService(100, "")))
}

// overTLS adds the hosts tls-zero and tls-full to a table: as zero and full, by TLS, where new
// proves its name and wants a certificate of its client.
func overTLS(t *testing.T, old, new *wire) string {
	authority, certificate := newAuthority(t, newHost)
	client, err := authority.Client("migration-proxy")
	require.NoError(t, err)
	dir := t.TempDir()
	caFile, err := authority.WriteCA(dir)
	require.NoError(t, err)
	certFile, keyFile, err := testbed.WritePair(dir, "client", client)
	require.NoError(t, err)
	oldBackend := "https://" + old.secure(t, &tls.Config{Certificates: []tls.Certificate{*certificate}})
	newBackend := "https://" + new.secure(t, &tls.Config{
		Certificates: []tls.Certificate{*certificate}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: authority.Pool(),
	})
	files := fmt.Sprintf("    tls: {ca_file: %s, client_cert_file: %s, client_key_file: %s}\n", caFile, certFile, keyFile)
	return serviceText("tls-zero", oldBackend, newBackend, files+"    migration: {enabled: true, percentage: 0}\n") +
		serviceText("tls-full", oldBackend, newBackend, files+allNew)
}

// trustsTests makes the tests, as clients of the proxy, a trusted proxy.
const trustsTests = `global: {trusted_proxies: ["127.0.0.0/8"]}`

// TestTransparency sends every exchange to both backends directly and through
// the proxy, and compares the responses, and the requests that the backends got.
// It does so for a proxy behind ingress controllers, for one on a machine behind a
// trusted proxy, and for one at the edge.
func TestTransparency(t *testing.T) {
	t.Parallel()
	old, new := startWire(t), startWire(t)
	behind := startRigBehind(t, transparencyTable(t, old, new, "")).params.Listen.String()
	other := startRigBehind(t, transparencyTable(t, old, new, `global: {trusted_proxies: ["192.0.2.0/24"]}`)).params.Listen.String()
	trusted := startRig(t, transparencyTable(t, old, new, trustsTests), nil).params.Listen.String()
	edge := startRig(t, transparencyTable(t, old, new, ""), nil).params.Listen.String()
	all := exchanges(t)
	t.Run("exchanges", func(t *testing.T) {
		for _, e := range all {
			t.Run(e.name, func(t *testing.T) {
				t.Parallel()
				for _, at := range []place{{"behind", behind, nil}, {"other", other, nil}, {"trusted", trusted, joinClientLines}, {"edge", edge, dropClientLines}} {
					for _, c := range []comparison{
						{e, old, "zero.example.com", "zero.example.com", at},
						{e, new, newHost, "full.example.com", at},
						{e, new, newHost, "bare.example.com", at},
						{e, old, "sticky-zero.example.com", "sticky-zero.example.com", at},
						{e, new, newHost, "sticky-full.example.com", at},
						{e, old, "tls-zero.example.com", "tls-zero.example.com", at},
						{e, new, newHost, "tls-full.example.com", at},
					} {
						c.compare(t)
					}
				}
			})
		}
	})
}

// place is a proxy. normalize removes from the request headers the differences that
// are allowed there.
type place struct {
	name      string
	proxy     string
	normalize func([]string) []string
}

// dropClientLines: at the edge the proxy itself says who the client is.
func dropClientLines(header []string) []string {
	return message{Header: header}.without(aboutTheClient...)
}

// joinClientLines: on a machine, nginx sets the headers about the client for each
// request, which makes one line of several and has its own spelling of the name.
func joinClientLines(header []string) []string {
	kept := message{Header: header}.without(aboutTheClient...)
	for _, name := range aboutTheClient {
		if values := (message{Header: header}).values(name); len(values) > 0 {
			kept = append(kept, name+": "+strings.Join(values, ", "))
		}
	}
	return kept
}

// comparison is one exchange with one backend: directly with the backend's own
// name, and through the proxy with the name that clients use.
type comparison struct {
	exchange
	backend           *wire
	ownName, usedName string
	at                place
}

// forBackend gives the request headers that must be equal.
func (l comparison) forBackend(m message) []string {
	header := m.without(perHopToBackends...)
	if l.ownName == newHost {
		// The client's name, because Host is new's own; and the mark against loops.
		header = message{Header: header}.without("X-Forwarded-Host", "Migration-Proxy-Loop")
	}
	if l.at.normalize != nil {
		header = l.at.normalize(header)
	}
	return header
}

func (l comparison) compare(t *testing.T) {
	want, wantAtBackend := l.send(t, l.ownName, l.backend.address)
	got, gotAtBackend := l.send(t, l.usedName, l.at.proxy)
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
	require.Equal(t, l.forBackend(wantAtBackend), l.forBackend(gotAtBackend), context)
	require.Equal(t, wantAtBackend.values("Upgrade"), gotAtBackend.values("Upgrade"), context)
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
		translated.Header = append(translated.Header, strings.NewReplacer("{host}", l.usedName, "{self}", l.ownName).Replace(line))
	}
	return translated.Header
}

func (l comparison) send(t *testing.T, host, to string) (answer, atBackend message) {
	id := strings.ReplaceAll(fmt.Sprintf("%s %s %s %s", l.name, l.at.name, l.usedName, host+to), " ", "-")
	l.backend.answer(id, l.answer)
	start, rest, _ := strings.Cut(strings.ReplaceAll(l.request, "{host}", host), "\r\n")
	answer, _ = dial(t, to).send(t, start+"\r\nX-Case: "+id+"\r\n"+rest)
	received := l.backend.received(id)
	require.Len(t, received, 1, "%s by %s: the backend must get one request; the answer is %v", l.name, host, answer)
	return answer, received[0]
}

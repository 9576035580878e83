package behavior

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/migration"
)

// http2Exchange is one request by HTTP/2, and the answer of the backend. A trailer is
// written as "trailer NAME: value".
type http2Exchange struct {
	name    string
	request []string // method and path, then headers
	body    string
	status  int
	answer  []string // headers, then trailers
	message string
}

const grpcContent = "Content-Type: application/grpc"

// http2Exchanges are what gRPC and its relatives send.
var http2Exchanges = []http2Exchange{
	{"grpc-call", []string{"POST /pkg.Svc/Method", grpcContent, "Te: trailers"}, "\x00\x00\x00\x00\x01a", 200, []string{grpcContent, "trailer Grpc-Status: 0"}, "\x00\x00\x00\x00\x01b"},
	{"grpc-empty-messages", []string{"POST /pkg.Svc/Method", grpcContent, "Te: trailers"}, "\x00\x00\x00\x00\x00", 200, []string{grpcContent, "trailer Grpc-Status: 0"}, "\x00\x00\x00\x00\x00"},
	{"grpc-no-messages", []string{"POST /pkg.Svc/Method", grpcContent, "Te: trailers"}, "", 200, []string{grpcContent, "trailer Grpc-Status: 0"}, ""},
	{"grpc-error-with-message", []string{"POST /pkg.Svc/Method", grpcContent}, "x", 200, []string{grpcContent, "trailer Grpc-Status: 5", "trailer Grpc-Message: no%20such%20thing%20%E2%82%AC"}, "part"},
	{"grpc-trailers-only", []string{"POST /pkg.Svc/Method", grpcContent}, "x", 200, []string{grpcContent, "Grpc-Status: 16", "Grpc-Message: who are you"}, ""},
	{"grpc-details", []string{"POST /pkg.Svc/Method", grpcContent}, "x", 200, []string{grpcContent, "trailer Grpc-Status: 3", "trailer Grpc-Status-Details-Bin: CAMSBWZpZWxk"}, ""},
	{"grpc-custom-trailers", []string{"POST /pkg.Svc/Method", grpcContent}, "x", 200, []string{grpcContent, "trailer Grpc-Status: 0", "trailer X-Cost: 7", "trailer Checksum-Bin: AAEC/w"}, "y"},
	{"grpc-metadata", []string{"POST /pkg.Svc/Method", grpcContent, "X-Meta: one", "X-Meta: two", "X-Meta-Bin: AAEC/w", "Authorization: Bearer secret"}, "x", 200, []string{grpcContent, "X-Answer: a", "X-Answer: b", "X-Answer-Bin: /w", "trailer Grpc-Status: 0"}, "y"},
	{"grpc-timeout", []string{"POST /pkg.Svc/Method", grpcContent, "Grpc-Timeout: 10S"}, "x", 200, []string{grpcContent, "trailer Grpc-Status: 0"}, "y"},
	{"grpc-encoding", []string{"POST /pkg.Svc/Method", grpcContent, "Grpc-Encoding: gzip", "Grpc-Accept-Encoding: gzip, identity"}, "\x01\x00\x00\x00\x01z", 200, []string{grpcContent, "Grpc-Encoding: gzip", "trailer Grpc-Status: 0"}, "\x01\x00\x00\x00\x01y"},
	{"grpc-subtype", []string{"POST /pkg.Svc/Method", "Content-Type: application/grpc+json"}, "{}", 200, []string{"Content-Type: application/grpc+json", "trailer Grpc-Status: 0"}, "{}"},
	{"grpc-user-agent", []string{"POST /pkg.Svc/Method", grpcContent, "User-Agent: grpc-java-netty/1.60.0"}, "x", 200, []string{grpcContent, "trailer Grpc-Status: 0"}, "y"},
	{"grpc-traceparent", []string{"POST /pkg.Svc/Method", grpcContent, "Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "Grpc-Trace-Bin: AAA"}, "x", 200, []string{grpcContent, "trailer Grpc-Status: 0"}, "y"},
	{"grpc-big", []string{"POST /pkg.Svc/Method", grpcContent}, strings.Repeat("0123456789", 50000), 200, []string{grpcContent, "trailer Grpc-Status: 0"}, strings.Repeat("9876543210", 50000)},
	{"grpc-big-metadata", []string{"POST /pkg.Svc/Method", grpcContent, "X-Big: " + strings.Repeat("m", 12000)}, "x", 200, []string{grpcContent, "X-Big: " + strings.Repeat("n", 12000), "trailer Grpc-Status: 0"}, "y"},
	{"grpc-web", []string{"POST /pkg.Svc/Method", "Content-Type: application/grpc-web-text", "X-Grpc-Web: 1"}, "AAAA", 200, []string{"Content-Type: application/grpc-web-text"}, "AAAA"},
	{"get", []string{"GET /status?x=%2F&y=a+b"}, "", 200, []string{"Content-Type: text/plain"}, "fine"},
	{"get-not-found", []string{"GET /nowhere"}, "", 404, []string{"Content-Type: text/plain"}, "no"},
	{"path-escapes", []string{"POST /a%20b//c/%C3%A9;v=1/..x", grpcContent}, "x", 200, []string{grpcContent, "trailer Grpc-Status: 0"}, "y"},
	{"http-error", []string{"POST /pkg.Svc/Method", grpcContent}, "x", 503, []string{"Content-Type: text/plain", "Retry-After: 7"}, "busy"},
}

// TestTransparencyOfHTTP2 sends every exchange to both backends directly and through
// the proxy, and compares what both ends get.
func TestTransparencyOfHTTP2(t *testing.T) {
	t.Parallel()
	backend := startGRPC(t, nil)
	address := "http://" + backend.address
	services := "services:" + grpcService("zero", address, address, "") + grpcService("full", address, address, allNew+"    fallback: {max_failures: 100000}\n")
	table := loadTable(t, services)
	places := map[string]netip.AddrPort{
		"behind": startRigBehind(t, table).params.ListenGRPC,
		"edge":   startRig(t, loadTable(t, services), nil).params.ListenGRPC,
	}
	direct := newHTTP2Client(t, netip.MustParseAddrPort(backend.address))
	for _, e := range http2Exchanges {
		t.Run(e.name, func(t *testing.T) {
			backend.mu.Lock()
			backend.answer = e.reply
			backend.mu.Unlock()
			for place, proxy := range places {
				through := newHTTP2Client(t, proxy)
				for host, own := range map[string]string{"zero.example.com": "zero.example.com", "full.example.com": newHost} {
					want, wantAtBackend := e.send(t, direct, backend, own)
					got, gotAtBackend := e.send(t, through, backend, host)
					context := fmt.Sprintf("%s through %s %s", e.name, place, host)
					require.Equal(t, want, got, context)
					require.Equal(t, wantAtBackend, gotAtBackend, context)
				}
			}
		})
	}
}

func (e http2Exchange) reply(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Date", "Thu, 01 Jan 2026 00:00:00 GMT")
	w.Header().Set("Server", "backend/1.0")
	for _, line := range e.answer {
		name, value, _ := strings.Cut(line, ": ")
		if trailer, isTrailer := strings.CutPrefix(name, "trailer "); isTrailer {
			name = http.TrailerPrefix + trailer
		}
		w.Header().Add(name, value)
	}
	w.WriteHeader(e.status)
	if slices.ContainsFunc(e.answer, func(line string) bool { return strings.HasPrefix(line, "trailer ") }) {
		_ = http.NewResponseController(w).Flush() // otherwise Go adds Content-Length: 0
	}
	_, _ = io.WriteString(w, e.message)
}

// send gives what the client got, and what the backend got, as lines.
func (e http2Exchange) send(t *testing.T, client *http.Client, backend *grpcBackend, host string) (answer, atBackend []string) {
	method, path, _ := strings.Cut(e.request[0], " ")
	var body io.Reader
	if method == http.MethodPost {
		body = struct{ io.Reader }{bytes.NewReader([]byte(e.body))} // no Content-Length, as gRPC has none
	}
	request, err := http.NewRequestWithContext(t.Context(), method, "http://"+host+path, body)
	require.NoError(t, err)
	for _, line := range e.request[1:] {
		name, value, _ := strings.Cut(line, ": ")
		request.Header.Add(name, value)
	}
	before := len(backend.requests())
	response, err := client.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	message, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	received := backend.requests()[before:]
	require.Len(t, received, 1)
	answer = append([]string{response.Status, string(message)}, headerLines("", response.Header)...)
	answer = append(answer, headerLines("trailer ", response.Trailer)...)
	header := received[0].Header.Clone()
	// nginx has Host in place of :authority, as ingress-nginx has; Authority is either.
	for _, name := range append([]string{"Host"}, aboutTheClient...) {
		header.Del(name)
	}
	if received[0].Authority == newHost {
		header.Del("Migration-Proxy-Loop") // old has no mark
	}
	return answer, append([]string{received[0].Authority, received[0].Path, received[0].Body}, headerLines("", header)...)
}

func headerLines(kind string, header http.Header) []string {
	var lines []string
	for name, values := range header {
		for _, value := range values {
			lines = append(lines, kind+name+": "+value)
		}
	}
	slices.Sort(lines)
	return lines
}

// TestHTTP2AgreesWithDecide: rules, users and paths decide calls as they decide other
// requests.
func TestHTTP2AgreesWithDecide(t *testing.T) {
	t.Parallel()
	old, new := startGRPC(t, nil), startGRPC(t, nil)
	table := loadTable(t, "global: {debug_headers: true}\nservices:"+
		grpcService("users", "http://"+old.address, "http://"+new.address, `    path_prefix: /pkg.Svc
    migration: {enabled: true, percentage: 30, strategy: user_hash, hash_key: "header:X-User-ID"}
    canary: {header_rules: [{header: X-Beta, value: "yes", target: new_cluster}], ip_rules: [{cidr: 192.0.2.0/24, target: old_cluster}]}
`))
	rig := startRig(t, table, nil)
	client := newHTTP2Client(t, rig.params.ListenGRPC)
	sides := map[migration.Side]int{}
	for i := range 150 {
		header := map[string]string{"x_user_id": fmt.Sprint("user-", i)}
		lines := []string{"X-User-Id: " + header["x_user_id"]}
		if i%10 == 0 {
			header["x_beta"] = "yes"
			lines = append(lines, "X-Beta: yes")
		}
		target := []string{"/pkg.Svc/Method", "/pkg.Svc", "/PKG.svc/Method"}[i%3]
		want := table.Decide(migration.Request{Host: "users.example.com", Target: target, Header: header, Client: netip.MustParseAddr("127.0.0.1")})
		c := call(t, client, "users.example.com", target, "", lines...)
		require.Equal(t, "0", c.finish(t))
		require.Equal(t, string(want.Side), c.response.Header.Get("X-Migration-Side"), "%d %s", i, want.Reason.Text)
		require.Equal(t, want.Reason.String(), c.response.Header.Get("X-Migration-Reason"))
		sides[want.Side]++
	}
	require.Len(t, sides, 2)
	require.Len(t, new.requests(), sides[migration.New])
	response, err := client.Get("http://users.example.com/other")
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusNotFound, response.StatusCode)
	response, err = client.Get("http://unknown.example.com/")
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusMisdirectedRequest, response.StatusCode)
}

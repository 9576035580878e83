package behavior

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/nginxgen"
)

// TestExplainAndNginxAgree sends random requests for random tables through
// the real nginx: the side that answers, and the reason, must be those of
// Decide, bucket for bucket.
func TestExplainAndNginxAgree(t *testing.T) {
	t.Parallel()
	const tables, requests = 24, 600
	old, new := startEcho(t, "old"), startEcho(t, "new")
	var tried reasonCounts
	t.Run("tables", func(t *testing.T) {
		for seed := range tables {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				r := random{rand.New(rand.NewPCG(uint64(seed), 1))}
				table := loadTable(t, r.configText(old, new))
				tripped := map[migration.Name]bool{}
				for _, s := range table.Services() {
					tripped[s.Name] = r.IntN(8) == 0
				}
				requireAgreement(t, r, startRig(t, table, tripped), requests, &tried)
			})
		}
	})
	t.Logf("decided: %v", tried.byReason)
	for _, code := range []migration.Code{
		migration.ReasonUnknownHost, migration.ReasonUnknownPath, migration.ReasonBadPath, migration.ReasonDisabled,
		migration.ReasonTripped, migration.ReasonDirect, migration.ReasonHeaderRule, migration.ReasonIPRule,
		migration.ReasonWeight, migration.ReasonUserHash, migration.ReasonStrategy, "loose",
	} {
		require.Positive(t, tried.byReason[code], "no request was decided by %s", code)
	}
}

// reasonCounts counts the requests that each reason decided, to find reasons
// that the test never tries.
type reasonCounts struct {
	mu       sync.Mutex
	byReason map[migration.Code]int
}

func (c *reasonCounts) add(code migration.Code) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byReason == nil {
		c.byReason = map[migration.Code]int{}
	}
	c.byReason[code]++
}

func requireAgreement(t *testing.T, r random, rig *rig, requests int, tried *reasonCounts) {
	for range requests {
		sent := r.request(rig)
		answer := sent.send(t)
		request := sent.Request
		request.Dice = answer.Header.Get(diceHeader)
		if s := rig.table.Route(migration.NormalizeHost(request.Host), normalPath(request.Target)); s != nil {
			request.Tripped = rig.tripped[s.Name]
		}
		want := rig.table.Decide(request)
		tried.add(want.Reason.Code)
		if want.Loose {
			tried.add("loose")
		}
		context := fmt.Sprintf("%s\nwant %s because %s\ngot %s %v", sent.text, want.Side, want.Reason.Text, answer.Status, answer.Header)
		require.Equal(t, wantStatus(want), answer.StatusCode, context)
		require.Equal(t, string(want.Side), answer.Header.Get("X-Migration-Side"), context)
		require.Equal(t, string(want.Side), answer.Header.Get("Echo-Side"), context)
		if want.Service != nil {
			require.Equal(t, want.Reason.String(), answer.Header.Get("X-Migration-Reason"), context)
		}
	}
}

func normalPath(target string) string {
	path, _ := migration.NormalizePath(target)
	return path
}

func wantStatus(want migration.Decision) int {
	switch want.Reason.Code {
	case migration.ReasonBadPath:
		return http.StatusBadRequest
	case migration.ReasonUnknownHost:
		return http.StatusMisdirectedRequest
	case migration.ReasonUnknownPath:
		return http.StatusNotFound
	}
	return http.StatusOK
}

// textRequest is a request as text for nginx, and parsed for Decide.
type textRequest struct {
	migration.Request
	to   netip.AddrPort
	text string
}

func (r random) request(rig *rig) textRequest {
	host := strings.Replace(r.pick(hosts), "*", r.pick([]string{"x", "y.z", "deep", "q.deep"}), 1)
	host = r.pick([]string{host, host, host, strings.ToUpper(host), host + ".", host + ":8000", host + ".:80", "x" + host, "unknown.example.org"})
	prefix := strings.TrimSuffix(r.pick(prefixes), "/")
	prefix = r.pick([]string{prefix, prefix, prefix, strings.ToUpper(prefix), strings.ToLower(prefix)})
	target := prefix + r.pick([]string{"", "", "", "/", "/", "/x", "/x", "/x/y", "x", "x/y", "/../x", "//y", "%2F%2fy", "/%2e%2E/z", "?q=/api", "/%41pi", "/v1", "/%2Fv1", "/v1/.", "/../../..", "/%zz", "/a%20b?x=%20", "%0a", "/%c3%a9", "\xe2\x84\xaa", "/%00"})
	if !strings.HasPrefix(target, "/") {
		target = "/" + target
	}
	a := textRequest{to: rig.params.Listen}
	a.Host, a.Target, a.Direct = host, target, r.IntN(10) == 0
	if a.Direct {
		a.to = rig.params.ListenNew
	}
	method := r.pick([]string{"GET", "GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PURGE"})
	header := http.Header{}
	lines := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", method, target, host)
	add := func(name, value string) {
		header[textproto.CanonicalMIMEHeaderKey(name)] = append(header[textproto.CanonicalMIMEHeaderKey(name)], value)
		lines += name + ": " + value + "\r\n"
	}
	for range r.IntN(4) {
		name := r.pick(headers)
		if name == "Host" || name == "X-Forwarded-For" {
			continue // the request has one, or gets one
		}
		for range 1 + r.IntN(8)/7 {
			add(name, r.pick(append(values, fmt.Sprintf("user-%d", r.IntN(1000)))))
		}
	}
	for _, cookie := range []string{r.pick(cookies), r.pick(cookies)} {
		if cookie != "" {
			add("Cookie", cookie)
		}
	}
	forwarded := r.pick(clients)
	if forwarded != "" {
		add("X-Forwarded-For", forwarded)
	}
	a.Client = migration.ClientAddress(netip.MustParseAddr("127.0.0.1"), forwarded, rig.table.Global().TrustedProxies)
	a.Header = migration.FoldHeaders(rig.table.Global().Keep(header), !rig.params.Version.Before(nginxgen.Version{Major: 1, Minor: 23}))
	a.text = lines + "Content-Length: 0\r\n\r\n"
	return a
}

func (a textRequest) send(t *testing.T) *http.Response {
	conn, err := net.Dial("tcp", a.to.String())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = conn.Write([]byte(a.text))
	require.NoError(t, err)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err, a.text)
	_ = response.Body.Close()
	return response
}

// startEcho starts a backend that answers with its side and the request id.
func startEcho(t *testing.T, side string) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Echo-Side", side)
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return "http://" + listener.Addr().String()
}

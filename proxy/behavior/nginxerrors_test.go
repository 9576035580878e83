package behavior

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestNginxErrorsAreNotRetriedOnOld: an error of nginx about the body of a
// request, before new gets it, is not an answer of new, also when on_status lists
// the status. Old would get an incomplete body, and would read the first bytes of
// the next request as the rest of it.
func TestNginxErrorsAreNotRetriedOnOld(t *testing.T) {
	t.Parallel()
	old, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = old.Close() })
	connections := make(chan net.Conn, 100)
	go func() {
		for conn, err := old.Accept(); err == nil; conn, err = old.Accept() {
			connections <- conn
		}
	}()
	r := startOnStatus(t, "http://"+old.Addr().String())
	require.NoError(t, os.RemoveAll(filepath.Join(r.params.RuntimeDir, "temp", "body"))) // as if the disk were full
	for _, c := range []struct{ name, body, want string }{
		{"declared too large", "Content-Length: 40000\r\n\r\n" + strings.Repeat("x", 40000), "413"},
		{"too large", "Transfer-Encoding: chunked\r\n\r\n9000\r\n" + strings.Repeat("x", 0x9000) + "\r\n0\r\n\r\n", "413"},
		{"invalid chunks", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n", "400"},
		{"cannot be written", "Content-Length: 30000\r\n\r\n" + strings.Repeat("x", 30000), "500"},
	} {
		for _, method := range []string{"PUT", "POST"} {
			answer, _ := dial(t, r.params.Listen.String()).send(t, method+" / HTTP/1.1\r\nHost: a.example.com\r\n"+c.body)
			require.Contains(t, answer.Start, " "+c.want+" ", "%s %s", c.name, method)
			require.Empty(t, connections, "%s %s", c.name, method)
		}
	}
}

// TestErrorsOfNewAreRetriedOnOld: the same statuses, as an answer of new.
func TestErrorsOfNewAreRetriedOnOld(t *testing.T) {
	t.Parallel()
	r := startOnStatus(t, startEcho(t, "old"))
	for _, status := range []string{"400", "413", "500", "403"} {
		answer, _ := dial(t, r.params.Listen.String()).send(t, "PUT / HTTP/1.1\r\nHost: a.example.com\r\nStatus: "+status+"\r\nContent-Length: 5\r\n\r\nhello")
		require.Equal(t, []string{"HTTP/1.1 200 OK", "old"}, []string{answer.Start, answer.value("Echo-Side")}, status)
	}
}

// startOnStatus serves a new that answers with the status in the header Status;
// on_status has all of these.
func startOnStatus(t *testing.T, old string) *rig {
	status := map[string]int{"400": 400, "403": 403, "413": 413, "500": 500}
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(status[r.Header.Get("Status")])
	}))
	t.Cleanup(backend.Close)
	return startRig(t, loadTable(t, "services:"+serviceText("a", old, backend.URL, allNew+`    max_body_size: 32k
    timeout: 2s
    fallback: {on_status: [400, 403, 413, 500]}
`)), nil)
}

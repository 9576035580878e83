package dataplane

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/nginxgen"
)

// startRaw starts a new that answers each request when it has read the header, and
// closes the connection or leaves it open.
func startRaw(t *testing.T, answer string, stays bool) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				for reader := bufio.NewReader(conn); ; {
					if _, err := http.ReadRequest(reader); err != nil {
						return
					}
					if _, err := io.WriteString(conn, answer); err != nil || !stays {
						return
					}
				}
			}()
		}
	}()
	return listener.Addr().String()
}

// to is service without a health check, with another new.
func to(name, new, more string) string {
	text, _, _ := strings.Cut(service(name, 100, "/"), "    health_check")
	return strings.Replace(text, "${NEW}", "http://"+new, 1) + more
}

// status502 sends an upload and tells whether the answer was a 502.
func (r *rig) status502(host, method string) bool {
	conn, err := net.Dial("tcp", r.options.Listen.String())
	require.NoError(r.t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(r.t, conn.SetDeadline(time.Now().Add(timeout)))
	const length = 8_000_000
	go func() {
		_, _ = fmt.Fprintf(conn, "%s / HTTP/1.1\r\nHost: %s.example.com\r\nContent-Length: %d\r\n\r\n%s", method, host, length, strings.Repeat("x", length))
	}()
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(r.t, err)
	return response.StatusCode == http.StatusBadGateway
}

// TestEarlyRefusalOfAnUpload: a new that answers 413 before it has read an upload, and
// closes, resets the connection for nginx. New is well: it does not trip, with and
// without a ratio.
func TestEarlyRefusalOfAnUpload(t *testing.T) {
	t.Parallel()
	new := startRaw(t, "HTTP/1.1 413 Payload Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", false)
	r := newRig(t, 0, to("plain", new, "    fallback: {max_failures: 2}\n"), to("ratio", new, "    fallback: {max_failures: 2, failure_ratio: 0.1}\n"))
	r.start()
	r.awaitStatus("in force", inForce)
	for _, host := range []string{"plain", "ratio"} {
		resets := 0
		for range 40 {
			if r.status502(host, "POST") {
				resets++
			}
			if resets == 6 {
				break
			}
		}
		require.GreaterOrEqual(t, resets, 4, "nginx read the early answer, the test shows nothing")
	}
	r.awaitStatus("counted", func(s status.Status) bool { return s.Services[1].New.Failed > 0 && s.Services[0].New.Failed > 0 })
	r.eventually("the last batch", func() bool { return r.status().Log.Lines >= 8 })
	for _, s := range r.status().Services {
		require.Equal(t, status.Migrating, s.Phase, "%s: %s", s.Name, s.Reason)
	}
}

// TestEarlyHintsDoNotTrip: nginx before 1.29 takes 103 for the answer, and waits for
// the end of the connection, although the client has the whole answer.
func TestEarlyHintsDoNotTrip(t *testing.T) {
	t.Parallel()
	new := startRaw(t, "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", true)
	r := newRig(t, 0, to("plain", new, "    timeout: 100ms\n    fallback: {max_failures: 2}\n"), to("ratio", new, "    timeout: 100ms\n    fallback: {max_failures: 2, failure_ratio: 0.1}\n"))
	r.start()
	r.awaitStatus("in force", inForce)
	for _, host := range []string{"plain", "ratio"} {
		for range 8 {
			conn, err := net.Dial("tcp", r.options.Listen.String())
			require.NoError(t, err)
			require.NoError(t, conn.SetDeadline(time.Now().Add(timeout)))
			_, err = fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s.example.com\r\nConnection: close\r\n\r\n", host)
			require.NoError(t, err)
			text, err := io.ReadAll(conn)
			require.NoError(t, err)
			require.Contains(t, string(text), "hello")
			require.NoError(t, conn.Close())
		}
	}
	r.eventually("counted", func() bool { return r.status().Log.Lines >= 16 })
	for _, s := range r.status().Services {
		require.Equal(t, status.Migrating, s.Phase, "%s: %s", s.Name, s.Reason)
		require.Equal(t, r.params.Version.Before(nginxgen.Version{Major: 1, Minor: 29}), s.New.Warning != "", "%s: %s", s.Name, s.New.Warning)
	}
}

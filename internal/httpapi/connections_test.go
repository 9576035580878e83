package httpapi

import (
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestManyConnections: clients that send headers without an end hold little memory, and
// keep nobody out.
func TestManyConnections(t *testing.T) {
	t.Parallel()
	url := serve(t, options())
	address := strings.TrimPrefix(url, "http://")
	for last := byte(2); last < 5; last++ {
		dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, last)}}
		var held []net.Conn
		for i := range 200 {
			conn, err := dialer.Dial("tcp", address)
			require.NoError(t, err)
			t.Cleanup(func() { _ = conn.Close() })
			if i%2 == 0 { // the others are idle
				_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nA: "+strings.Repeat("x", 20<<10))
			}
			held = append(held, conn)
		}
		// After 5 s all of them are ended anyway.
		require.Eventually(t, func() bool { return open(held) <= 64 }, 2*time.Second, 10*time.Millisecond, "more than 64 connections of an address stay")
		started := time.Now()
		response, _ := ask(t, http.MethodGet, url+"/ready")
		require.Equal(t, http.StatusOK, response.StatusCode)
		require.Less(t, time.Since(started), 2*time.Second)
	}
}

// open counts the connections that the server holds.
func open(connections []net.Conn) (number int) {
	for _, conn := range connections {
		_ = conn.SetReadDeadline(time.Now().Add(100 * time.Microsecond))
		if _, err := conn.Read(make([]byte, 1)); os.IsTimeout(err) {
			number++
		}
	}
	return number
}

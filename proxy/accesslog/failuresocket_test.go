package accesslog

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const failureLine = `<190>Nov 23 02:04:10 migration: 192.168.1.1 - - [01/Jan/2024:12:00:00 +0000] "GET /api HTTP/1.1" 200 3 ` +
	`backend="old_backend" upstream_response_time=0.001 : 0.002 request_time=0.003 service="api" decision="bucket/1/2" ` +
	`upstream_addr="192.0.2.7:443 : 10.0.0.3:80" upstream_status="502 : 200" upstream_connect_time="- : 0.000" host="a" request_id="r1"`

// TestFailureSocket: each datagram is one event, other datagrams are ignored,
// and a socket whose file was removed is made again.
func TestFailureSocket(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "failures") // short: a unix socket's path has 107 bytes
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "failures.sock")
	require.NoError(t, os.WriteFile(path, nil, 0o600), "left by a killed agent")
	observed := make(chan string, 100)
	socket := &FailureSocket{Path: path, Log: slog.New(slog.DiscardHandler), Observer: observeFunc(func(e *Event, _ time.Time) {
		observed <- string(e.Service) + " " + string(e.New.Failure()) + " " + string(e.RequestID)
	})}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- socket.Run(ctx) }()

	requireObserved(t, path, observed)
	require.NoError(t, os.Remove(path))
	requireObserved(t, path, observed)
	stop()
	require.NoError(t, <-done)
	require.Empty(t, observed)
}

// requireObserved waits for the socket, sends one datagram of each kind and
// waits for the one event.
func requireObserved(t *testing.T, path string, observed <-chan string) {
	t.Helper()
	var conn net.Conn
	require.Eventually(t, func() (ok bool) {
		var err error
		conn, err = net.Dial("unixgram", path)
		return err == nil
	}, 10*time.Second, 5*time.Millisecond)
	defer func() { _ = conn.Close() }()
	for _, text := range []string{"", "nonsense", "<190>migration: nonsense", failureLine} {
		_, err := conn.Write([]byte(text))
		require.NoError(t, err)
	}
	select {
	case event := <-observed:
		require.Equal(t, "api connect r1", event)
	case <-time.After(10 * time.Second):
		require.Fail(t, "no event was observed")
	}
}

package accesslog

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// patience is how long a test waits for what must happen; it is never reached
// when all is well.
const patience = 20 * time.Second

// server is a real nginx on unix sockets in a directory of its own.
type server struct {
	dir     string
	command *exec.Cmd
	client  *http.Client
}

// startNginx writes testdata/nginx.conf's format, with extra appended.
func startNginx(t *testing.T, extra string) *server {
	t.Helper()
	nginx, err := exec.LookPath(testbed.Nginx())
	if err != nil {
		nginx = "/usr/sbin/nginx"
	}
	if _, err := os.Stat(nginx); err != nil {
		t.Skip("no nginx here: install it, or put it into PATH")
	}
	dir, err := os.MkdirTemp("", "alog") // t.TempDir is too long a path for a unix socket
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.WriteFile(filepath.Join(dir, "nginx.conf"), configFor(t, dir, extra), 0o600))
	s := &server{dir: dir, client: clientOf(filepath.Join(dir, "front.sock"))}
	s.command = exec.Command(nginx, "-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", filepath.Join(dir, "error.log"))
	require.NoError(t, s.command.Start())
	t.Cleanup(func() { s.stop(t) })
	s.waitUntilUp(t)
	return s
}

// configFor completes testdata/nginx.conf.
func configFor(t *testing.T, dir, extra string) []byte {
	t.Helper()
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;" // workers must reach this directory
	}
	text := bytes.ReplaceAll(read(t, "testdata/nginx.conf"), []byte("USER;"), []byte(user))
	text = bytes.ReplaceAll(text, []byte("EXTRA"), []byte(extra))
	return bytes.ReplaceAll(text, []byte("DIR"), []byte(dir))
}

func clientOf(socket string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 16,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
}

func (s *server) waitUntilUp(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		conn, err := net.Dial("unix", filepath.Join(s.dir, "front.sock"))
		if err != nil {
			return false
		}
		return conn.Close() == nil
	}, patience, 10*time.Millisecond)
}

func (s *server) stop(t *testing.T) {
	s.client.CloseIdleConnections()
	require.NoError(t, s.command.Process.Signal(syscall.SIGTERM))
	require.NoError(t, s.command.Wait())
}

func (s *server) get(path string) (int, error) {
	response, err := s.client.Get("http://api.example" + path)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	return response.StatusCode, err
}

func (s *server) log() string { return filepath.Join(s.dir, "access.log") }

// follow runs a Tail on the server's log until the test ends.
func (s *server) follow(t *testing.T, tail *Tail) {
	t.Helper()
	tail.Path, tail.Log = s.log(), slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- tail.Run(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
}

// TestLinesOfRealNginx: what nginx writes means what happened.
func TestLinesOfRealNginx(t *testing.T) {
	t.Parallel()
	s := startNginx(t, "")
	for _, path := range []string{
		"/new", "/old", "/refused", "/status", "/nobody",
		`/old?"%20200%201%20backend="new_backend"%20decision="new/direct"`,
	} {
		_, err := s.get(path)
		require.NoError(t, err)
	}
	var mu sync.Mutex
	var got []string
	counters := NewCounters(time.Now())
	intake := &Intake{Counters: counters, Log: slog.Default(), Observer: observeFunc(func(e *Event, _ time.Time) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, fmt.Sprintf("%s %d %s<-%s %s[%d] new=%d/%s old=%d/%s rescued=%t", e.Service, e.Status, e.Answered,
			e.Decision, e.Reason, e.Rule, e.New.Status, e.New.Failure(), e.Old.Status, e.Old.Failure(), e.Rescued()))
	})}
	s.follow(t, &Tail{Consumer: intake, Nginx: reopenFunc(func() error { return nil })})
	require.Eventually(t, func() bool { return counters.Log().Lines >= 6 }, patience, 10*time.Millisecond)
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, []string{
		"api 200 new<-new bucket[-1] new=200/ old=0/ rescued=false",
		"api 200 old<-old strategy[-1] new=0/ old=200/ rescued=false",
		"api 200 old<-new header_rule[3] new=502/connect old=200/ rescued=true",
		"api 200 old<-new bucket[-1] new=503/status old=200/ rescued=true",
		" 421 <- [-1] new=0/ old=0/ rescued=false",
		"api 200 old<-old strategy[-1] new=0/ old=200/ rescued=false",
	}, got)
	require.Zero(t, counters.Log().Dropped)
}

// TestFailuresOfRealNginx: the failures that only a broken backend makes.
// Its own 502 is told from a reset only when the line has the header time.
func TestFailuresOfRealNginx(t *testing.T) {
	t.Parallel()
	for extra, own502 := range map[string]string{
		"": "502 new=502/reset",
		` upstream_header_time="$upstream_header_time"`: "502 new=502/status",
	} {
		t.Run(extra, func(t *testing.T) {
			t.Parallel()
			s := startNginx(t, extra)
			s.listen(t, "reset.sock", func(conn net.Conn) { _ = conn.Close() })
			arrived := make(chan struct{}, 2)
			s.listen(t, "hang.sock", func(net.Conn) { arrived <- struct{}{} })
			for _, path := range []string{"/reset", "/slow", "/own_502"} {
				_, err := s.get(path)
				require.NoError(t, err)
			}
			<-arrived // what /slow sent
			s.leave(t, "/hang", arrived)
			require.Equal(t, []string{"502 new=502/reset", "504 new=504/timeout", own502, "499 new=0/"}, s.outcomes(t, 4))
		})
	}
}

// listen accepts on a socket, reads the request and hands the connection over.
func (s *server) listen(t *testing.T, name string, answer func(net.Conn)) {
	t.Helper()
	listener, err := net.Listen("unix", filepath.Join(s.dir, name))
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
			_, _ = conn.Read(make([]byte, 4096))
			answer(conn)
		}
	}()
}

// leave asks, and goes away when the request has arrived.
func (s *server) leave(t *testing.T, path string, arrived <-chan struct{}) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://api.example"+path, nil)
	require.NoError(t, err)
	_, err = s.client.Do(request)
	require.ErrorIs(t, err, context.Canceled)
}

// outcomes waits for n lines and gives what they say about new.
func (s *server) outcomes(t *testing.T, n int) []string {
	t.Helper()
	var lines [][]byte
	require.Eventually(t, func() bool {
		lines = bytes.Split(bytes.TrimSuffix(read(t, s.log()), []byte("\n")), []byte("\n"))
		return len(lines) >= n
	}, patience, 10*time.Millisecond)
	var got []string
	for _, line := range lines {
		e, err := Parse(line)
		require.NoError(t, err)
		got = append(got, fmt.Sprintf("%d new=%d/%s", e.Status, e.New.Status, e.New.Failure()))
	}
	return got
}

// TestRotationUnderLoadLosesNoLine: requests go on while the log is rotated
// several times; each is counted once and forwarded once.
func TestRotationUnderLoadLosesNoLine(t *testing.T) {
	t.Parallel()
	s := startNginx(t, "")
	counters := NewCounters(time.Now())
	var forwarded lineCounter
	forwarder := NewForwarder(&forwarded, 1024, counters, slog.Default())
	ctx, cancel := context.WithCancel(t.Context())
	written := run(ctx, forwarder)
	intake := &Intake{Counters: counters, Forwarder: forwarder, Log: slog.Default()}
	var reopened atomic.Int32
	s.follow(t, &Tail{
		MaxSize: 64 << 10, Interval: 20 * time.Millisecond, Consumer: intake,
		Nginx: reopenFunc(func() error { reopened.Add(1); return s.command.Process.Signal(syscall.SIGUSR1) }),
	})
	sent := s.load(t, func() bool { return reopened.Load() >= 3 })
	require.Eventually(t, func() bool { return counters.Log().Lines >= sent }, patience, 10*time.Millisecond)
	cancel()
	<-written
	require.Equal(t, sent, counters.Log().Lines)
	require.Zero(t, counters.Log().Dropped)
	require.Equal(t, sent, forwarded.lines.Load())
	require.Eventually(t, func() bool {
		_, err := os.Stat(s.log() + rotatedSuffix)
		return os.IsNotExist(err)
	}, patience, 10*time.Millisecond)
	t.Logf("%d requests, %d rotations", sent, reopened.Load())
}

// load sends requests on four connections until enough, and counts them.
func (s *server) load(t *testing.T, enough func() bool) uint64 {
	t.Helper()
	var sent atomic.Uint64
	var group sync.WaitGroup
	deadline := time.Now().Add(patience)
	for range 4 {
		group.Go(func() {
			for !enough() && time.Now().Before(deadline) {
				if _, err := s.get("/new"); err != nil {
					t.Errorf("a request failed: %v", err)
					return
				}
				sent.Add(1)
			}
		})
	}
	group.Wait()
	require.True(t, enough(), "not enough happened in time")
	return sent.Load()
}

// TestStoppedReaderDoesNotBlockNginx: requests go on for ten times more lines
// than any buffer between nginx and the reader could hold; no line is lost.
func TestStoppedReaderDoesNotBlockNginx(t *testing.T) {
	t.Parallel()
	s := startNginx(t, "")
	const requests = 4000
	counters := NewCounters(time.Now())
	intake := &Intake{Counters: counters, Log: slog.Default()}
	stopped, resume := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.follow(t, &Tail{Nginx: reopenFunc(func() error { return nil }), Consumer: consumeFunc(func(lines []byte, now time.Time) {
		once.Do(func() { close(stopped); <-resume })
		intake.Consume(lines, now)
	})})
	_, err := s.get("/new")
	require.NoError(t, err)
	<-stopped
	for range requests {
		status, err := s.get("/new")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, status)
	}
	require.Zero(t, counters.Log().Lines, "the reader is still stopped")
	close(resume)
	require.Eventually(t, func() bool { return counters.Log().Lines == requests+1 }, patience, 10*time.Millisecond)
}

type lineCounter struct{ lines atomic.Uint64 }

func (c *lineCounter) Write(p []byte) (int, error) {
	c.lines.Add(uint64(bytes.Count(p, []byte{'\n'})))
	return len(p), nil
}

package dataplane

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestLongLines: three clients send as much to the log as they can. No line is lost, only
// the ends of long ones, and the runtime directory stays small.
func TestLongLines(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0, service("shop", 50, "/healthz"))
	r.start()
	r.awaitStatus("in force", inForce)
	var sent atomic.Uint64
	var clients sync.WaitGroup
	end := time.Now().Add(2 * time.Second)
	for range 3 {
		clients.Go(func() { sent.Add(r.flood(t, end)) })
	}
	largest := int64(0)
	for time.Now().Before(end) {
		largest = max(largest, diskUse(r.options.RuntimeDir))
		time.Sleep(50 * time.Millisecond)
	}
	clients.Wait()
	require.Greater(t, sent.Load(), uint64(20))
	r.eventually("all lines are counted", func() bool { return r.status().Log.Lines >= sent.Load() })
	require.Zero(t, r.status().Log.Dropped)
	require.Less(t, largest, int64(64<<20))
	longest, err := longestLine(r.runtimeFile("access.log"))
	require.NoError(t, err)
	require.Less(t, longest, 8<<10)
	t.Logf("%d requests, at most %d KB on disk, longest line %d bytes", sent.Load(), largest>>10, longest)
}

// flood sends requests with the longest lines that nginx accepts, and counts them.
func (r *rig) flood(t *testing.T, end time.Time) (sent uint64) {
	conn, err := net.Dial("tcp", r.options.Listen.String())
	if err != nil {
		t.Error(err)
		return 0
	}
	defer func() { _ = conn.Close() }()
	long := strings.Repeat("\xff", 31<<10)
	request := fmt.Sprintf("GET /%s HTTP/1.1\r\nHost: shop.example.com\r\nX-Request-ID: %s\r\nAuthorization: Basic %s\r\n\r\n",
		long, long, base64.StdEncoding.EncodeToString([]byte(long[:20<<10]+":x")))
	answers := bufio.NewReader(conn)
	for time.Now().Before(end) {
		if _, err := io.WriteString(conn, request); err != nil {
			t.Error(err)
			return sent
		}
		response, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Error(err)
			return sent
		}
		_, _ = io.Copy(io.Discard, response.Body)
		sent++
	}
	return sent
}

// diskUse is what the files of a directory take on the disk.
func diskUse(dir string) (bytes int64) {
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil // a file that was just removed
		}
		if info, err := entry.Info(); err == nil {
			if stat, ok := info.Sys().(*syscall.Stat_t); ok {
				bytes += stat.Blocks * 512
			}
		}
		return nil
	})
	return bytes
}

func longestLine(file string) (longest int, err error) {
	text, err := os.ReadFile(file)
	for line := range strings.Lines(strings.Trim(string(text), "\x00")) {
		longest = max(longest, len(line))
	}
	return longest, err
}

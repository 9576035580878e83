package proxy

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// TestUnfinishedHeadersAreBounded: clients that send large headers without an end could
// take more memory than the container may have. They are ended, and when the others go,
// all is as before.
func TestUnfinishedHeadersAreBounded(t *testing.T) {
	t.Parallel()
	const limit, clients = 125 << 20, 1000 // a client takes 136 KB
	r := newRig(t)
	if os.Geteuid() == 0 {
		r.params.User = "root" // without CAP_SYS_RESOURCE only a worker of the same user can be limited
	}
	r.Agent = r.newAgent()
	r.options.MemoryLimit, r.options.MemoryUsed = limit, r.nginxMemory
	r.run()
	r.apply(r.service("api", full))
	r.waitForSide("api", "new")
	workers := r.master.WorkerIDs()
	slices.Sort(workers)
	require.Eventually(t, func() bool {
		return !slices.ContainsFunc(workers, func(pid int) bool { return strings.Contains(dataLimit(t, pid), "unlimited") })
	}, 10*time.Second, 10*time.Millisecond, "the workers have no limit")

	large := "GET / HTTP/1.1\r\nHost: api.old.test\r\n" + strings.Repeat("A: "+strings.Repeat("x", 32000)+"\r\n", 4)
	var held []net.Conn
	for range clients {
		conn, err := net.Dial("tcp", r.params.Listen.String())
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		_, _ = io.WriteString(conn, large)
		held = append(held, conn)
	}
	ended, most := 0, int64(0)
	for deadline := time.Now().Add(20 * time.Second); ended < clients/4 && time.Now().Before(deadline); {
		used, err := r.nginxMemory()
		require.NoError(t, err)
		ended, most = ended+countEnded(held[ended:]), max(most, used)
	}
	t.Logf("%d of %d connections ended, %d MiB used", ended, clients, most>>20)
	require.Less(t, most, int64(limit), "the container would have been ended")
	require.GreaterOrEqual(t, ended, clients/4)
	r.waitFor("reported", func(s status.Status) bool { return s.Nginx.MemoryTaken })

	for _, conn := range held {
		_ = conn.Close()
	}
	require.Eventually(t, func() bool { return r.getWithCookies(100_000) == "new" }, 10*time.Second, 10*time.Millisecond,
		"long headers have no room although the others have gone")
	now := r.master.WorkerIDs()
	slices.Sort(now)
	require.Equal(t, workers, now)
	r.waitFor("ready", func(s status.Status) bool { return s.Ready })
}

// countEnded moves the connections that nginx has ended to the front, and counts them.
func countEnded(connections []net.Conn) (ended int) {
	for i, conn := range connections {
		_ = conn.SetReadDeadline(time.Now().Add(time.Millisecond))
		if _, err := conn.Read(make([]byte, 1)); err == nil || !os.IsTimeout(err) {
			connections[i], connections[ended] = connections[ended], conn
			ended++
		}
	}
	return ended
}

// nginxMemory is the memory of nginx and its workers.
func (r *rig) nginxMemory() (int64, error) {
	pid := r.Status().Nginx.PID
	if pid == 0 {
		return 0, nil
	}
	processes, err := testbed.Children(pid)
	if err != nil {
		return 0, err
	}
	sum := int64(0)
	for _, process := range processes {
		sum += int64(process.ResidentMemory())
	}
	return sum, nil
}

// dataLimit is the line about RLIMIT_DATA of a process.
func dataLimit(t *testing.T, pid int) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "Max data size") {
			return line[:46]
		}
	}
	return ""
}

// getWithCookies is get with cookies of a length, in lines that nginx takes.
func (r *rig) getWithCookies(length int) string {
	request, err := http.NewRequest(http.MethodGet, "http://"+r.params.Listen.String()+"/", nil)
	require.NoError(r.t, err)
	request.Host = "api.old.test"
	for ; length > 0; length -= 25_000 {
		request.Header.Add("Cookie", "a="+strings.Repeat("x", min(length, 25_000)))
	}
	response, err := withoutKeepAlive.Do(request)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	return string(text)
}

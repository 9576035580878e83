package faults

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// TestFullDisk fills the runtime directory under load, while the config changes.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	p := newAPIProxy(t)
	full := p.smallDisk("conf", "serving", "shares")
	p.start(p.api(percent100, noTrip))
	before := p.resources()
	clients := p.clients("api", rates{get: 50, post: 25, connections: 4})
	clients.waitForAnswers(20)
	since := time.Now()
	full(true)

	// A new percentage is a rename, which needs hardly any space.
	p.write(configHead + p.api(percent50, noTrip))
	p.waitForShare(50)
	// Another change needs space.
	p.write(configHead + p.api(percent50, noTrip, "    path_prefix: /v1"))
	refused := p.waitFor("refused", func(s status.Status) bool { return s.Config.Rejected != nil })
	big := p.bigPosts()
	p.killAgent()
	p.startAgent()
	clients.waitForAnswers(50)
	healed := time.Now()
	full(false)
	p.waitFor("the restarted agent applies the config", func(s status.Status) bool {
		return s.Ready && s.Config.Rejected == nil && s.Services[0].PathPrefix == "/v1"
	})
	p.editedWhileFull(full)
	require.Equal(t, 20, big.Statuses[200], "uploads have a volume of their own: %v %v", big.Statuses, big.Errors)
	result := p.finish(clients, "runtime directory full (temp/ apart), agent killed and restarted meanwhile", since, healed)
	result.status = fmt.Sprintf("config rejected (%s): %s", refused.Config.Rejected.Stage, strings.ReplaceAll(refused.Config.Rejected.Problems[0], p.dir, ""))
	results.add(t, result)
	t.Log(clients.kinds())
	require.Zero(t, result.get.failed+result.post.failed+result.duplicates)
	p.requireNoLeak(before)
}

// editedWhileFull checks that an edit for which there was no space comes into force
// when there is space again.
func (p *apiProxy) editedWhileFull(full func(bool)) {
	full(true)
	p.write(configHead + p.api(percent50, noTrip, "    path_prefix: /v2"))
	refused := p.waitFor("refused", func(s status.Status) bool { return s.Config.Rejected != nil })
	require.Equal(p.t, "apply", refused.Config.Rejected.Stage)
	require.Equal(p.t, "/v1", refused.Services[0].PathPrefix)
	full(false)
	p.waitFor("the config is applied without another edit", func(s status.Status) bool {
		return s.Config.InSync() && s.Services[0].PathPrefix == "/v2"
	})
}

// TestFullDiskUnderARamp: a ramp that is good, and cannot write its next position, stays
// where it is, says why in the status, and rises when there is space again.
func TestFullDiskUnderARamp(t *testing.T) {
	t.Parallel()
	p := newAPIProxy(t)
	p.flags = []string{"--ramp-interval", "200ms"}
	full := p.smallDisk(".")
	const ramp = "{steps: [20, 60], hold: 5s, judge: {min_requests: 50, max_extra: 20, slow: {allow: 10s}}}"
	p.start(p.api("    migration: {enabled: true, percentage: 100, ramp: "+ramp+"}", noTrip))
	clients := p.clients("api", rates{get: 200, connections: 4})
	p.waitForShare(20)
	since := time.Now()
	full(true)
	stuck := p.waitFor("the problem", func(s status.Status) bool { return s.Services[0].Ramp.Problem != "" })
	require.Contains(t, stuck.Services[0].Ramp.Problem, "ramp.json")
	clients.waitForAnswers(400) // two seconds, ten steps
	require.InDelta(t, 20, p.row("api").Share, 0)
	full(false)
	healed := time.Now()
	require.Empty(t, p.waitForShare(60).Services[0].Ramp.Problem)
	result := p.finish(clients, "runtime directory full while a ramp wants to rise", since, healed)
	require.Zero(t, result.get.failed)
}

// bigPosts sends bodies that nginx cannot keep in memory on their way to new.
func (p *apiProxy) bigPosts() *testbed.Report {
	report, err := testbed.Load{
		URL: "http://" + p.listen + "/", Host: "api.example.com", Method: "POST", Body: strings.Repeat("x", 64<<10), Requests: 20,
	}.Run(context.Background())
	require.NoError(p.t, err)
	return report
}

// smallDisk mounts a small disk as the runtime directory, and another one as temp/,
// where uploads go. The returned function fills the first one, or frees it. Where
// mounting is not permitted, a full disk is these directories without write permission.
func (w *proxyRun) smallDisk(directories ...string) func(full bool) {
	require.NoError(w.t, os.Mkdir(w.runtime, 0o755))
	if err := w.mount(w.runtime); err != nil {
		w.t.Logf("cannot mount a disk (%v): directories become read-only instead", err)
		return func(full bool) { w.closeDirectories(full, directories) }
	}
	temp := filepath.Join(w.runtime, "temp")
	require.NoError(w.t, os.Mkdir(temp, 0o755))
	require.NoError(w.t, w.mount(temp))
	ballast := filepath.Join(w.runtime, "ballast")
	return func(full bool) {
		if !full {
			require.NoError(w.t, os.Remove(ballast))
			return
		}
		file, err := os.Create(ballast)
		require.NoError(w.t, err)
		defer file.Close()
		_, err = io.Copy(file, zeros{})
		require.ErrorIs(w.t, err, syscall.ENOSPC)
	}
}

// mount mounts a disk of 8 MB until the end of the test.
func (w *proxyRun) mount(dir string) error {
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=8m,mode=755"); err != nil {
		return err
	}
	w.t.Cleanup(func() {
		w.remove() // ends the processes with open files there
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			w.t.Error(err)
		}
		_ = os.RemoveAll(w.dir)
	})
	return nil
}

// zeros is an endless reader.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func (w *proxyRun) closeDirectories(full bool, names []string) {
	mode := os.FileMode(0o755)
	if full {
		mode = 0o555
	}
	for _, name := range names {
		require.NoError(w.t, os.Chmod(filepath.Join(w.runtime, name), mode))
	}
}

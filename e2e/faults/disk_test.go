package faults

import (
	"context"
	"errors"
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

// TestFullDisk fills the runtime directory while requests come and the config
// changes.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	full := p.smallDisk()
	p.start(p.api(all, noTrip))
	before := p.census()
	clients := p.clients("api", rates{get: 50, post: 25, connections: 4})
	clients.flows(20)
	since := time.Now()
	full(true)

	// A share is a rename, and needs no room to speak of.
	p.write(pattern + p.api(half, noTrip))
	p.awaitShare(50)
	// More needs room.
	p.write(pattern + p.api(half, noTrip, "    path_prefix: /v1"))
	refused := p.await("refused", func(s status.Status) bool { return s.Config.Rejected != nil })
	big := p.bigPosts()
	p.killAgent()
	p.startAgent()
	clients.flows(50)
	healed := time.Now()
	full(false)
	p.await("a restarted agent tries again", func(s status.Status) bool {
		return s.Ready && s.Config.Rejected == nil && s.Services[0].PathPrefix == "/v1"
	})
	p.editedWhileFull(full)
	require.Equal(t, 20, big.Statuses[200], "uploads have a volume of their own: %v %v", big.Statuses, big.Errors)
	result := p.ends(clients, "runtime directory full (temp/ apart), agent killed and restarted meanwhile", since, healed)
	result.says = fmt.Sprintf("config rejected (%s): %s", refused.Config.Rejected.Stage, strings.ReplaceAll(refused.Config.Rejected.Problems[0], p.dir, ""))
	results.add(t, result)
	t.Log(clients.kinds())
	require.Zero(t, result.get.failed+result.post.failed+result.duplicates)
	p.requireNothingLeft(before)
}

// editedWhileFull: an edit that found no room is in force by itself once there
// is some.
func (p *pair) editedWhileFull(full func(bool)) {
	full(true)
	p.write(pattern + p.api(half, noTrip, "    path_prefix: /v2"))
	refused := p.await("refused", func(s status.Status) bool { return s.Config.Rejected != nil })
	require.Equal(p.t, "apply", refused.Config.Rejected.Stage)
	require.Equal(p.t, "/v1", refused.Services[0].PathPrefix)
	full(false)
	p.await("tried again without being told", func(s status.Status) bool {
		return s.Config.InSync() && s.Services[0].PathPrefix == "/v2"
	})
}

// bigPosts are too big for nginx to keep in memory on their way to new.
func (p *pair) bigPosts() *testbed.Report {
	report, err := testbed.Load{
		URL: "http://" + p.listen + "/", Host: "api.example.com", Method: "POST", Body: strings.Repeat("x", 64<<10), Requests: 20,
	}.Run(context.Background())
	require.NoError(p.t, err)
	return report
}

// smallDisk puts the runtime directory on a disk of its own, if we may mount
// one, and temp/, where uploads go, on another. It gives what fills the first
// and makes room again. Otherwise full is a directory that cannot be written to.
func (w *world) smallDisk() func(full bool) {
	require.NoError(w.t, os.Mkdir(w.runtime, 0o755))
	if err := w.mount(w.runtime); err != nil {
		w.t.Logf("no disk of its own (%v): directories are closed instead", err)
		return w.closeDirectories
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
		require.True(w.t, errors.Is(err, syscall.ENOSPC), "%v", err)
	}
}

// mount makes a directory a disk of 8 MB until the test ends.
func (w *world) mount(dir string) error {
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=8m,mode=755"); err != nil {
		return err
	}
	w.t.Cleanup(func() {
		w.remove() // ends what has files open there
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			w.t.Error(err)
		}
		_ = os.RemoveAll(w.dir)
	})
	return nil
}

// zeros never end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func (w *world) closeDirectories(full bool) {
	mode := os.FileMode(0o755)
	if full {
		mode = 0o555
	}
	for _, name := range []string{"conf", "serving", "shares"} {
		require.NoError(w.t, os.Chmod(filepath.Join(w.runtime, name), mode))
	}
}

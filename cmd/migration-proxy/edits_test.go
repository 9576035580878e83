package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// edits is how often the ConfigMap is edited under load.
const edits = 200

// quiet is how long no request may go the old way until an edit counts as in
// force everywhere.
const quiet = 30 * time.Millisecond

// sidesSeen is when each side answered last, in nanoseconds.
type sidesSeen struct{ old, new atomic.Int64 }

func (s *sidesSeen) add(answer testbed.Answer) {
	switch answer.Backend {
	case "old":
		s.old.Store(time.Now().UnixNano())
	case "new":
		s.new.Store(time.Now().UnixNano())
	}
}

// siteUnderLoad is a site with one replica under load.
type siteUnderLoad struct {
	*testing.T
	*site
	text   string // of the config, for a percentage
	seen   sidesSeen
	report chan *testbed.Report
	end    context.CancelFunc
}

func newSiteUnderLoad(t *testing.T) *siteUnderLoad {
	t.Helper()
	s := testSite(t)
	w := &siteUnderLoad{T: t, site: s, report: make(chan *testbed.Report, 1), end: func() {}}
	old, new := w.backend("old"), w.backend("new")
	w.text = "services:\n- {name: shop, old_host: shop.example.com, old_backend: '" + old + "', new_host: new.example.com, new_backend: '" + new + "', " +
		"migration: {enabled: true, percentage: %d}}\n"
	w.edit(0)
	_, err := s.replica(t.Context(), "one")
	require.NoError(t, err)
	w.awaitReady()
	return w
}

func (w *siteUnderLoad) backend(name string) string {
	w.Helper()
	backend, err := testbed.Start(testbed.Options{Name: name})
	require.NoError(w, err)
	w.Cleanup(backend.Kill)
	return backend.URL()
}

func (w *siteUnderLoad) edit(percentage int) {
	w.Helper()
	require.NoError(w, w.write(w.Context(), fmt.Sprintf(w.text, percentage)))
}

func (w *siteUnderLoad) status() string {
	response, err := http.Get("http://" + w.replicas["one"].http + "/status")
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	return string(text)
}

func (w *siteUnderLoad) awaitStatus(what string) {
	w.Helper()
	require.Eventually(w, func() bool { return strings.Contains(w.status(), what) }, 30*time.Second, 10*time.Millisecond, what)
}

func (w *siteUnderLoad) awaitReady() {
	w.Helper()
	w.awaitStatus(`"ready": true`)
}

func (w *siteUnderLoad) load() {
	ctx, cancel := context.WithCancel(w.Context())
	w.end = cancel
	load := testbed.Load{
		URL: "http://" + w.replicas["one"].listen, Host: "shop.example.com", Connections: 4, Rate: 2000, Each: w.seen.add,
	}
	go func() {
		report, err := load.Run(ctx)
		if err != nil {
			panic(err) // the load makes no sense
		}
		w.report <- report
	}()
}

// endLoad wants every request answered.
func (w *siteUnderLoad) endLoad() {
	w.Helper()
	w.end()
	report := <-w.report
	require.Empty(w, report.Errors)
	require.Equal(w, map[int]int{200: report.Sent}, report.Statuses)
	w.Logf("%d requests, none failed", report.Sent)
}

// inForce edits, and gives how long after the API server's answer the last
// request went the old way.
func (w *siteUnderLoad) inForce(percentage int) time.Duration {
	w.Helper()
	wrong, right := &w.seen.new, &w.seen.old
	if percentage == 100 {
		wrong, right = right, wrong
	}
	w.edit(percentage)
	accepted := time.Now()
	require.Eventually(w, func() bool {
		last := max(wrong.Load(), accepted.UnixNano())
		return right.Load() > last && time.Now().UnixNano()-last > int64(quiet)
	}, 30*time.Second, time.Millisecond)
	return max(0, time.Duration(wrong.Load()-accepted.UnixNano()))
}

// TestEditsUnderLoad: each edit of the ConfigMap is in force soon after the
// API server accepted it, and costs nobody a request. The bound is for a busy
// machine; the benchmark has the figures.
func TestEditsUnderLoad(t *testing.T) {
	w := newSiteUnderLoad(t)
	w.load()
	var took []time.Duration
	for i := range edits {
		took = append(took, w.inForce(100-100*(i%2)))
	}
	w.endLoad()
	slices.Sort(took)
	t.Logf("last request by the old weight, after the edit was accepted: p50 %s, p99 %s, max %s", took[edits/2], took[edits*99/100], took[edits-1])
	require.Less(t, took[edits*99/100], time.Second)
}

// TestOutageOfTheAPIServer: traffic and weights stay, a restart in between
// serves what was served, and edits arrive when it is back.
func TestOutageOfTheAPIServer(t *testing.T) {
	w := newSiteUnderLoad(t)
	w.load()
	w.inForce(100)
	require.NoError(t, w.plane.StopAPIServer())
	stopped := time.Now().UnixNano()
	require.Eventually(t, func() bool { return w.seen.new.Load() > stopped+int64(time.Second) }, 30*time.Second, 10*time.Millisecond)
	require.Less(t, w.seen.old.Load(), stopped, "the weight stays")
	w.endLoad()

	w.replicas["one"].stop()
	require.NoError(t, w.start("one"))
	w.awaitStatus("cannot be read yet: ")
	w.awaitStatus("last-good.yaml")
	w.awaitReady()
	w.load()
	require.NoError(t, w.plane.StartAPIServer(t.Context()))
	w.inForce(0)
	w.inForce(100)

	require.NoError(t, w.write(t.Context(), "service: []"))
	w.awaitStatus("migration-config:1:1: ")
	w.awaitReady()
	w.inForce(0)
	require.NotContains(t, w.status(), "rejected")
	w.endLoad()
}

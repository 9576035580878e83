package drill_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/cli/drill"
	"github.com/migration-proxy/migration-proxy/internal/cli/oneproxy"
	"github.com/migration-proxy/migration-proxy/internal/listen"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/migration-proxy/migration-proxy/proxy/configsync"
	"github.com/migration-proxy/migration-proxy/proxy/dataplane"
	"github.com/migration-proxy/migration-proxy/proxy/drills"
)

// rig is a data plane with the real nginx, and a source for drills of it.
type rig struct {
	drill.Local
	traffic  string
	old, new *testbed.Backend
}

func backend(t *testing.T, name string) *testbed.Backend {
	t.Helper()
	b, err := testbed.Start(testbed.Options{Name: name})
	require.NoError(t, err)
	t.Cleanup(b.Kill)
	return b
}

func start(t *testing.T, percentage int) rig {
	t.Helper()
	dir, err := os.MkdirTemp("", "mp") // short: a unix socket's path has 107 bytes
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755)) //nolint:gosec // nginx's workers may be another user
	r := rig{old: backend(t, "old"), new: backend(t, "new")}
	r.File, r.RuntimeDir, r.User = filepath.Join(dir, "c.yaml"), filepath.Join(dir, "run"), "alice"
	text := fmt.Sprintf("services: [{name: shop, old_host: shop.example, old_backend: '%s', new_host: shop.new.example, new_backend: '%s', "+
		"migration: {enabled: true, percentage: %d}}]", r.old.URL(), r.new.URL(), percentage)
	require.NoError(t, os.WriteFile(r.File, []byte(text), 0o600))
	options := dataplane.Options{
		Source: configsync.NewFile(r.File), RuntimeDir: r.RuntimeDir, Nginx: testbed.Nginx(), Workers: 1, AccessLog: dataplane.AccessLogOff, Log: slog.New(slog.DiscardHandler),
	}
	for _, address := range []*listen.Address{&options.Listen, &options.ListenNew, &options.ListenGRPC, &options.HTTP} {
		port, err := testbed.FreePort()
		require.NoError(t, err)
		require.NoError(t, address.Set(fmt.Sprintf("127.0.0.1:%d", port)))
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- dataplane.Run(ctx, options) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	r.traffic = options.Listen.String()
	r.Proxy, err = oneproxy.New(options.HTTP.String())
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		document, _, err := r.Proxy.Status(t.Context())
		return err == nil && document.Ready && len(document.Services) == 1 && len(document.Services[0].Old.Addresses) > 0
	}, 20*time.Second, 20*time.Millisecond)
	return r
}

// load sends requests until stop, which gives what became of them.
func (r rig) load(t *testing.T) (stop func() *testbed.Report) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	reports := make(chan *testbed.Report, 1)
	go func() {
		report, err := testbed.Load{URL: "http://" + r.traffic + "/", Host: "shop.example", Rate: 200, Connections: 4}.Run(ctx)
		if err != nil {
			t.Error(err)
		}
		reports <- report
	}()
	return func() *testbed.Report {
		cancel()
		return <-reports
	}
}

// newGets tells whether requests reach new.
func (r rig) newGets() bool {
	before := r.new.Total()
	for range 20 {
		request, err := http.NewRequest(http.MethodGet, "http://"+r.traffic+"/", nil)
		if err != nil {
			return false
		}
		request.Host = "shop.example"
		if answer, err := http.DefaultClient.Do(request); err == nil {
			_ = answer.Body.Close()
		}
	}
	return r.new.Total() > before
}

// TestDrill with the real data plane: no request is lost, none reaches new, and the share
// is back.
func TestDrill(t *testing.T) {
	t.Parallel()
	r := start(t, 50)
	stop := r.load(t)
	require.Eventually(t, func() bool { return r.new.Total() > 20 }, 10*time.Second, 10*time.Millisecond)
	var out bytes.Buffer
	require.NoError(t, drill.Run(t.Context(), &out, r.Local, drill.Options{Service: "shop", For: 2 * time.Second}), out.String())
	require.True(t, r.newGets(), "the share is back")
	report := stop()
	require.Zero(t, report.Lost(), "%+v", report)
	require.Regexp(t, `new got its last request within \d+ms, and the share was back within .*; \d{3} requests came through the proxy meanwhile, 0 were lost \(5xx\), 0 went to new`, out.String())
	t.Log(out.String())

	kept, err := drills.Read(r.RuntimeDir)
	require.NoError(t, err)
	require.Equal(t, "alice", kept.Services["shop"].By)
	require.NotEmpty(t, kept.Services["shop"].Result)
}

// TestInterrupted: the service returns at once after Ctrl-C, and by itself when the command
// is killed.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	r := start(t, 50)
	ctx, cancel := context.WithCancel(t.Context())
	begins := writer(func(text []byte) {
		if regexp.MustCompile("last request").Match(text) {
			cancel()
		}
	})
	begun := time.Now()
	require.ErrorContains(t, drill.Run(ctx, begins, r.Local, drill.Options{Service: "shop", For: time.Minute}), "interrupted")
	require.Less(t, time.Since(begun), 30*time.Second)
	require.True(t, r.newGets())

	killed := status.Drill{ID: "killed", By: "alice", At: time.Now(), Until: time.Now().Add(status.MaxDrill - time.Minute)}
	require.NoError(t, drills.Write(r.RuntimeDir, "shop", killed))
	require.Eventually(t, func() bool { return !r.newGets() }, time.Second, 10*time.Millisecond)
	killed.Until = time.Now().Add(time.Second) // only now, so that the drill cannot end before it was seen
	require.NoError(t, drills.Write(r.RuntimeDir, "shop", killed))
	require.Eventually(t, r.newGets, 10*time.Second, 50*time.Millisecond)
}

// TestRefused has services of which a drill would say nothing.
func TestRefused(t *testing.T) {
	t.Parallel()
	r := start(t, 0)
	err := drill.Run(t.Context(), &bytes.Buffer{}, r.Local, drill.Options{Service: "shop", For: time.Minute})
	require.ErrorContains(t, err, "no drill of shop: nothing of it goes to new")
	err = drill.Run(t.Context(), &bytes.Buffer{}, r.Local, drill.Options{Service: "blog", For: time.Minute})
	require.ErrorContains(t, err, "the config has no service blog; it has shop")
}

type writer func([]byte)

func (w writer) Write(text []byte) (int, error) { w(text); return len(text), nil }

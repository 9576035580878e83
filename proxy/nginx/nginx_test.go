package nginx

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is an nginx with its own directory and port.
type bench struct {
	*Nginx
	port int
}

func newBench(t *testing.T) *bench {
	t.Helper()
	dir, err := os.MkdirTemp("", "nginx") // short: a unix socket's path has 107 bytes
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	found, err := Find(t.Context(), testbed.Nginx(), dir)
	require.NoError(t, err)
	return &bench{found, freePort(t)}
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := testbed.FreePort()
	require.NoError(t, err)
	return port
}

// TestFindSearchesSbin is not parallel: it changes $PATH.
func TestFindSearchesSbin(t *testing.T) {
	installed, err := Find(t.Context(), "nginx", t.TempDir())
	if err != nil || !slices.Contains(sbinDirs, filepath.Dir(installed.Path)) {
		t.Skip("no nginx in an sbin")
	}
	t.Setenv("PATH", t.TempDir())
	found, err := Find(t.Context(), "nginx", t.TempDir())
	require.NoError(t, err)
	require.Equal(t, installed.Version, found.Version)
	_, err = Find(t.Context(), "./nginx", t.TempDir())
	require.ErrorContains(t, err, "install it or name it with --nginx", "a path is not searched for")
}

// conf writes a config that serves the digest, with more lines inside http.
func (b *bench) conf(t *testing.T, digest, more string) string {
	t.Helper()
	folder := filepath.Join(b.Dir, "conf", digest)
	require.NoError(t, os.MkdirAll(folder, 0o755))
	text := fmt.Sprintf(`daemon off; worker_processes 2; pid %[1]s/nginx.pid; error_log %[1]s/error.log warn;
		events {}
		http {
			access_log off;
			server { listen unix:%[1]s/admin.sock; location = /digest { return 200 "%[2]s\n"; } }
			server { listen 127.0.0.1:%[3]d; return 200 "%[2]s\n"; }
			%[4]s
		}`, b.Dir, digest, b.port, more)
	file := filepath.Join(folder, "nginx.conf")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	return file
}

// use makes a config the current one.
func (b *bench) use(t *testing.T, digest, more string) {
	t.Helper()
	b.conf(t, digest, more)
	_ = os.Remove(filepath.Join(b.Dir, "current"))
	require.NoError(t, os.Symlink(filepath.Join("conf", digest), filepath.Join(b.Dir, "current")))
}

func (b *bench) serves() bool {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Second}
	response, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/", b.port))
	if err != nil {
		return false
	}
	return response.Body.Close() == nil && response.StatusCode == http.StatusOK
}

func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, 10*time.Second, 10*time.Millisecond, what)
}

func TestFindSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	_, err := Find(t.Context(), "no-such-nginx", t.TempDir())
	require.ErrorContains(t, err, "--nginx")

	ancient := filepath.Join(t.TempDir(), "nginx")
	require.NoError(t, os.WriteFile(ancient, []byte("#!/bin/sh\necho 'nginx version: nginx/1.18.0' >&2\n"), 0o755))
	_, err = Find(t.Context(), ancient, t.TempDir())
	require.ErrorContains(t, err, "1.19.5 or newer")
}

// TestFindKnowsPCREJIT has an nginx that says what one without PCRE's compiler says.
func TestFindKnowsPCREJIT(t *testing.T) {
	t.Parallel()
	without := filepath.Join(t.TempDir(), "nginx")
	require.NoError(t, os.WriteFile(without, []byte(`#!/bin/sh
echo 'nginx version: nginx/1.30.4' >&2
case "$*" in *pcre_jit*)
  echo 'nginx: [warn] nginx was built without "pcre_jit" support in command line' >&2
  echo 'nginx: [emerg] no "events" section in configuration' >&2
  exit 1
esac
`), 0o755))
	found, err := Find(t.Context(), without, t.TempDir())
	require.NoError(t, err)
	require.False(t, found.PCREJIT)

	found, err = Find(t.Context(), testbed.Nginx(), t.TempDir())
	require.NoError(t, err)
	b := newBench(t)
	conf := b.conf(t, "jit", "")
	text, err := os.ReadFile(conf)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(conf, append([]byte("pcre_jit on;\n"), text...), 0o644))
	err = b.Test(t.Context(), conf)
	require.Equal(t, found.PCREJIT, err == nil, err)
}

func TestTestReturnsTheLinesOfNginx(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	require.NoError(t, b.Test(t.Context(), b.conf(t, "good", "")))

	var problems Problems
	require.ErrorAs(t, b.Test(t.Context(), b.conf(t, "bad", "nonsense on;")), &problems)
	require.Contains(t, problems.Error(), `[emerg] unknown directive "nonsense"`)

	twice := "server { listen 127.0.0.1:1; server_name a; } server { listen 127.0.0.1:1; server_name a; }"
	problems = nil
	require.ErrorAs(t, b.Test(t.Context(), b.conf(t, "warned", twice)), &problems, "a warning is an error")
	require.Contains(t, problems.Error(), `[warn] conflicting server name "a"`)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, b.Test(ctx, b.conf(t, "good", "")), context.Canceled)
}

func noLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

// TestNoPatternsInProblems: the values of header rules are secrets.
func TestNoPatternsInProblems(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.use(t, "one", `map $http_x $y { "~secret(" new; }`)
	err := b.Test(t.Context(), b.currentConf())
	require.ErrorContains(t, err, "failed")
	require.NotContains(t, err.Error(), "secret")
	require.Equal(t, `*3 pcre2_exec() failed: -47, client: 192.0.2.1`, withoutPatterns(`*3 pcre2_exec() failed: -47, client: 192.0.2.1`))
	require.Equal(t, `*3 pcre_exec() failed: -8`, withoutPatterns(`*3 pcre_exec() failed: -8 on "value" using "secret", client: 192.0.2.1`))
}

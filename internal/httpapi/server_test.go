package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/status"
)

func example() status.Status {
	observed := 19.5
	since := time.Date(2024, 1, 1, 12, 0, 0, 0, time.UTC)
	return status.Status{
		Version: "1.2.3", Ready: true,
		Config: status.Config{Source: "ns/migration-config", Digest: "d1", Since: since},
		Nginx:  status.Nginx{Version: "1.22.1", KnownHoles: []string{"CVE-2026-42533: a buffer"}, PID: 7, Reloads: 3, Restarts: 1, SideProblem: "all go to old", Workers: &status.Workers{Serving: 2, ShuttingDown: 3}},
		Services: []status.Service{
			{Name: "api", Share: 20, Phase: status.Migrating, Observed: &observed, SideProblem: "bucket 0"},
			{Name: "web", Phase: status.FallenBack, New: status.Side{Unresolved: "no such host", CertificateProblem: "no PEM"}},
		},
	}
}

func options() Options {
	fine := func() error { return nil }
	return Options{Alive: fine, Ready: fine, Status: example, Log: slog.New(slog.DiscardHandler)}
}

// serve runs the API on a real listener until the test ends and gives its URL.
func serve(t *testing.T, o Options) string {
	t.Helper()
	server, err := New(o)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx, listener) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
	return "http://" + listener.Addr().String()
}

func ask(t *testing.T, method, url string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { require.NoError(t, response.Body.Close()) }()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response, string(body)
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	url := serve(t, options())
	for _, c := range []struct {
		path string
		code int
		want string
	}{
		{"/", 200, "/status"},
		{"/health", 200, `{"alive": true}`},
		{"/ready", 200, `{"ready": true}`},
		{"/metrics", 200, "go_goroutines"},
		{"/metrics", 200, "process_open_fds"},
		{"/metrics", 200, `migration_proxy_share_desired_ratio{service="api"} 0.2`},
		{"/status", 200, `"name": "web"`},
		{"/nothing", 404, ""},
		{"/debug/pprof/", 404, ""},
	} {
		response, body := ask(t, "GET", url+c.path)
		require.Equal(t, c.code, response.StatusCode, c.path)
		require.Contains(t, strings.Join(strings.Fields(body), " "), strings.Trim(c.want, "{}"), c.path)
	}
}

func TestConditionsGiveReasons(t *testing.T) {
	t.Parallel()
	o := options()
	o.Alive = func() error { return errors.New("nginx died 5 times in a minute") }
	o.Ready = func() error { return errors.New("no config was loaded yet") }
	url := serve(t, o)
	for path, want := range map[string]map[string]any{
		"/health": {"alive": false, "reason": "nginx died 5 times in a minute"},
		"/ready":  {"ready": false, "reason": "no config was loaded yet"},
	} {
		response, body := ask(t, "GET", url+path)
		require.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
		require.Equal(t, "application/json", response.Header.Get("Content-Type"))
		var got map[string]any
		require.NoError(t, json.Unmarshal([]byte(body), &got))
		require.Equal(t, want, got)
	}
}

func TestOnlyReadingIsAllowed(t *testing.T) {
	t.Parallel()
	url := serve(t, options())
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} {
		for _, path := range []string{"/", "/health", "/ready", "/metrics", "/status", "/nothing"} {
			response, _ := ask(t, method, url+path)
			require.Equal(t, http.StatusMethodNotAllowed, response.StatusCode, "%s %s", method, path)
			require.Equal(t, "GET, HEAD", response.Header.Get("Allow"))
		}
	}
}

func TestHEAD(t *testing.T) {
	t.Parallel()
	url := serve(t, options())
	for _, path := range []string{"/", "/health", "/ready", "/metrics", "/status"} {
		response, body := ask(t, "HEAD", url+path)
		require.Equal(t, http.StatusOK, response.StatusCode, path)
		require.Empty(t, body)
	}
}

func TestStatusOfOneService(t *testing.T) {
	t.Parallel()
	shared := example()
	o := options()
	o.Status = func() status.Status { return shared }
	url := serve(t, o)

	_, body := ask(t, "GET", url+"/status?service=web")
	var got status.Status
	require.NoError(t, json.Unmarshal([]byte(body), &got))
	require.Equal(t, shared.Services[1:], got.Services)
	require.Len(t, shared.Services, 2, "the caller's rows are left alone")
	require.Equal(t, "api", shared.Services[0].Name)

	response, body := ask(t, "GET", url+"/status?service=wbe")
	require.Equal(t, http.StatusNotFound, response.StatusCode)
	require.Contains(t, body, `wbe`)
}

func TestStatusWithoutServices(t *testing.T) {
	t.Parallel()
	o := options()
	o.Status = func() status.Status { return status.Status{} }
	_, body := ask(t, "GET", serve(t, o)+"/status")
	require.Contains(t, body, `"services": []`)
}

func TestMetricsOfTheStatus(t *testing.T) {
	t.Parallel()
	collector := StatusCollector{example}
	want, err := os.ReadFile("testdata/metrics.txt")
	require.NoError(t, err)
	require.NoError(t, testutil.CollectAndCompare(collector, strings.NewReader(string(want))))
	problems, err := testutil.CollectAndLint(collector)
	require.NoError(t, err)
	require.Empty(t, problems)
}

func TestMetricsBeforeTheFirstConfig(t *testing.T) {
	t.Parallel()
	o := options()
	o.Status = func() status.Status { return status.Status{} }
	_, body := ask(t, "GET", serve(t, o)+"/metrics")
	for _, line := range []string{
		"migration_proxy_config_in_sync 0", "migration_proxy_nginx_up 0", "migration_proxy_ready 0",
		"migration_proxy_config_last_success_timestamp_seconds 0",
	} {
		require.Contains(t, body, line+"\n")
	}
}

func TestConfigReloads(t *testing.T) {
	t.Parallel()
	o := options()
	o.Status = func() status.Status {
		return status.Status{Config: status.Config{Results: map[string]uint64{"applied": 1}}}
	}
	_, body := ask(t, "GET", serve(t, o)+"/metrics")
	require.Contains(t, body, `migration_proxy_config_reloads_total{result="applied"} 1`)
}

func TestDuplicateMetricsAreRefused(t *testing.T) {
	t.Parallel()
	o := options()
	twice := prometheus.NewGauge(prometheus.GaugeOpts{Name: "twice"})
	o.Collectors = []prometheus.Collector{twice, twice}
	_, err := New(o)
	require.ErrorContains(t, err, "register metrics")
}

// TestShutdownWaitsForAnswers: an answer under way when the server is told to
// stop is given, and the listener is closed by then.
func TestShutdownWaitsForAnswers(t *testing.T) {
	t.Parallel()
	o := options()
	asked, answer := make(chan struct{}), make(chan struct{})
	o.Ready = func() error { close(asked); <-answer; return nil }
	server, err := New(o)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done, code := make(chan error, 1), make(chan int, 1)
	go func() { done <- server.Run(ctx, listener) }()
	go func() {
		response, err := http.Get("http://" + listener.Addr().String() + "/ready")
		if !assert.NoError(t, err) {
			close(code)
			return
		}
		_ = response.Body.Close()
		code <- response.StatusCode
	}()
	<-asked
	cancel()
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	}, 10*time.Second, 5*time.Millisecond)
	close(answer)
	require.Equal(t, http.StatusOK, <-code)
	require.NoError(t, <-done)
}

func TestRunReportsABrokenListener(t *testing.T) {
	t.Parallel()
	server, err := New(options())
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	require.ErrorContains(t, server.Run(t.Context(), listener), "serve the HTTP API on 127.0.0.1")
}

// TestEvidence: only a replica of the data plane has it.
func TestEvidence(t *testing.T) {
	t.Parallel()
	response, _ := ask(t, http.MethodGet, serve(t, options())+"/evidence")
	require.Equal(t, http.StatusNotFound, response.StatusCode)

	o := options()
	measured := status.Evidence{
		StartedAt: time.Date(2024, 1, 1, 12, 0, 0, 0, time.UTC),
		Services:  map[string]status.ServiceEvidence{"api": {Share: 5, New: status.EvidenceSide{Requests: 3, Failed: 2, Slow: 1}, OldLatency: []uint64{0, 7}}},
	}
	o.Evidence = func() status.Evidence { return measured }
	url := serve(t, o)
	_, text := ask(t, http.MethodGet, url+"/evidence")
	var answer status.Evidence
	require.NoError(t, json.Unmarshal([]byte(text), &answer))
	require.Equal(t, measured, answer)
	_, text = ask(t, http.MethodGet, url+"/")
	require.Contains(t, text, "/evidence")
}

package sampling

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/compare"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/nginxgen"
	"github.com/migration-proxy/migration-proxy/proxy/accesslog"
)

// slowLooker needs five seconds for each look, and the most requests.
type slowLooker struct {
	mu          sync.Mutex
	looks, busy int
	most        int
	began       []time.Time
	targets     []string
}

func (l *slowLooker) Look(_ context.Context, _ *migration.Service, request compare.Request) (compare.Sample, compare.Verdict, Cost) {
	l.mu.Lock()
	l.looks++
	l.busy++
	l.most = max(l.most, l.busy)
	l.began = append(l.began, time.Now())
	l.targets = append(l.targets, request.Target)
	l.mu.Unlock()
	time.Sleep(1500 * time.Millisecond)
	l.mu.Lock()
	l.busy--
	l.mu.Unlock()
	answer := compare.Answer{Status: 200, Header: http.Header{}}
	return compare.Sample{Request: request, Old: answer, New: answer, Again: answer}, compare.Verdict{}, Cost{3, 3}
}

func comparedTable(t *testing.T, skip ...string) *migration.Table {
	backend := migration.Backend{Scheme: migration.HTTP, Host: "127.0.0.1", Port: 1}
	table, err := migration.NewTable(migration.Global{}, []migration.Service{{
		Name: "api", OldHost: "api.example.com", PathPrefix: "/", OldBackend: backend, NewHost: "new.example.com", NewBackend: backend,
		Timeout: time.Second, ConnectTimeout: time.Second, Compare: &migration.Compare{Continuous: true, Skip: skip},
	}})
	require.NoError(t, err)
	return table
}

// sample runs a sampler for the time with one route each of the targets in turn.
func runSampler(t *testing.T, rate int, span time.Duration, target func(i int) string) (*slowLooker, *Sampler) {
	looker := &slowLooker{}
	sampler := NewSampler(looker)
	sampler.SetTable(comparedTable(t, "/cart/*"))
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { sampler.Run(ctx) })
	step := 10 * time.Millisecond
	i := 0
	for elapsed := time.Duration(0); elapsed < span; elapsed += step {
		for ; float64(i) < float64(rate)*elapsed.Seconds(); i++ {
			sampler.ObserveRequest(&accesslog.Event{
				Service: []byte("api"), Method: []byte("GET"), Host: []byte("api.example.com"), Target: []byte(target(i)), RequestID: []byte("id"),
			}, time.Now())
		}
		time.Sleep(step)
	}
	time.Sleep(10 * time.Second)
	cancel()
	running.Wait()
	return looker, sampler
}

func page(i int) string {
	return fmt.Sprintf("/%c/%c/%d", 'a'+rune(i%26), 'a'+rune(i/26%26), i)
}

// TestBudgetUnderLoad: 8,000 requests per second, of 676 routes.
func TestBudgetUnderLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const span = 30 * time.Second
		looker, sampler := runSampler(t, 8000, span, page)
		require.LessOrEqual(t, looker.looks, 31, "one a second")
		require.Greater(t, looker.looks, 20)
		require.LessOrEqual(t, looker.most, 2, "at once")
		for i := 1; i < len(looker.began); i++ {
			require.GreaterOrEqual(t, looker.began[i].Sub(looker.began[i-1]), usualPace.Pause)
		}
		report := sampler.Tally("api", time.Time{}, time.Now()).Report()
		require.Equal(t, looker.looks, report.Samples)
		require.InDelta(t, 8000*span.Seconds(), float64(report.Requests), 200)
	})
}

// TestBudgetOfASlowService: 1 % of 10 requests per second, for half an hour, and no more
// than 20 samples of the only route.
func TestBudgetOfASlowService(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		looker, _ := runSampler(t, 10, 10*time.Minute, page)
		require.LessOrEqual(t, 3*looker.looks, 10*600/100)
		require.GreaterOrEqual(t, 3*looker.looks, 10*600/100-3)
	})
	synctest.Test(t, func(t *testing.T) {
		looker, _ := runSampler(t, 300, 2*time.Minute, func(i int) string { return fmt.Sprintf("/one/%d", i) })
		require.Equal(t, usualPace.PerRoute, looker.looks)
	})
}

// TestWhatIsNotAsked: writes, what is skipped, and odd bytes are counted and not asked.
func TestWhatIsNotAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		targets := []string{"/cart/1", "/logout", `/a\x22`, "http://a/b"}
		looker, sampler := runSampler(t, 400, 10*time.Second, func(i int) string { return targets[i%4] })
		require.Zero(t, looker.looks)
		require.InDelta(t, 2000, float64(sampler.Tally("api", time.Time{}, time.Now()).Unasked["skipped"]), 20)
	})
	require.Equal(t, "method POST", CheckRequest("POST", "/", nil))
	require.Equal(t, "method other", CheckRequest("BREW", "/", nil))
	require.Empty(t, CheckRequest("HEAD", "/a?b=c", nil))
}

// TestGuard: a side that gets worse stops the samples, and a fallback does.
func TestGuard(t *testing.T) {
	t.Parallel()
	row := func(failed, p99 float64) *status.Service {
		return &status.Service{Phase: status.Migrating, Old: status.Side{Rate: 10, Failed: failed, P99: p99}}
	}
	for name, c := range map[string]struct {
		before, after *status.Service
		want          string
	}{
		"same":        {row(0.02, 0.2), row(0.03, 0.3), ""},
		"failures":    {row(0.01, 0.2), row(0.05, 0.2), "old fails 5.0 % of its requests, a minute ago 1.0 %"},
		"slow":        {row(0, 0.2), row(0, 0.5), "old has a 99th percentile of 0.500 s, a minute ago 0.200 s"},
		"fallen back": {row(0, 0), &status.Service{Phase: status.FallenBack}, "the service has fallen back"},
	} {
		now, g := time.Unix(1000, 0), guard{}
		for range 6 {
			g.read(c.before, now)
			now = now.Add(10 * time.Second)
		}
		g.read(c.after, now)
		require.Equal(t, c.want, g.paused(now), name)
		require.Empty(t, g.paused(now.Add(guardPause)), name)
	}
}

// TestSlotsForget: what was found more than an hour ago is gone.
func TestSlotsForget(t *testing.T) {
	t.Parallel()
	var s slots
	now := time.Unix(1_000_000, 0)
	for range 90 {
		s.at(now).Saw("GET /a")
		now = now.Add(time.Minute)
	}
	require.InDelta(t, 60, float64(s.since(time.Time{}, now).Report().Requests), 2)
	require.InDelta(t, 10, float64(s.since(now.Add(-10*time.Minute), now).Report().Requests), 2)
}

// TestGoldenRequest: these bytes leave, and no others: no cookie, no credentials.
func TestGoldenRequest(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "mp") // short: a unix socket's path has 107 bytes
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	heads := make(chan string, 10)
	for _, socket := range []string{nginxgen.CompareOldSocket, nginxgen.CompareNewSocket} {
		listener, err := net.Listen("unix", filepath.Join(dir, socket))
		require.NoError(t, err)
		t.Cleanup(func() { _ = listener.Close() })
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				var head strings.Builder
				lines := bufio.NewScanner(conn)
				for lines.Scan() && lines.Text() != "" {
					head.WriteString(lines.Text() + "\n")
				}
				heads <- head.String()
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
				_ = conn.Close()
			}
		}()
	}
	asker := &Asker{Dir: dir, Scheme: "https"}
	service := comparedTable(t).Services()[0]
	_, verdict, cost := asker.Look(t.Context(), &service, compare.Request{Method: "GET", Host: "api.example.com", Target: "//a%2Fb?c=d", ID: "7f"})
	require.Equal(t, compare.Verdict{}, verdict)
	require.Equal(t, Cost{Old: 2, New: 1}, cost)
	asker.Headers = []Header{{"Cookie", "session=1"}}
	_, _, _ = asker.Look(t.Context(), &service, compare.Request{Method: "GET", Host: "api.example.com", Target: "/", ID: "7f"})
	for range 3 {
		require.Equal(t, `GET //a%2Fb?c=d HTTP/1.1
Host: api.example.com
User-Agent: migration-proxy-compare
Accept: */*
Accept-Encoding: gzip
X-Migration-Compare: 1
X-Real-IP: 192.0.2.1
X-Forwarded-For: 192.0.2.1
X-Forwarded-Host: api.example.com
X-Forwarded-Port: 443
X-Forwarded-Proto: https
X-Forwarded-Scheme: https
X-Scheme: https
Connection: close
`, <-heads)
	}
	require.Contains(t, <-heads, "\nCookie: session=1\n", "only when it is said")
}

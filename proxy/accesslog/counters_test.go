package accesslog

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

var noon = time.Date(2024, 1, 1, 12, 0, 0, 0, time.UTC)

// counted adds lines from testdata/lines for service api, at noon.
func counted(t *testing.T, names ...string) *Counters {
	t.Helper()
	counters := NewCounters(noon.Add(-time.Hour))
	counters.SetServices([]string{"api"}, noon.Add(-time.Hour))
	for _, name := range names {
		event, err := Parse(read(t, "testdata/lines/"+name+".txt"))
		require.NoError(t, err)
		counters.Add(&event, noon)
	}
	return counters
}

func minute(c *Counters, name string, now time.Time) status.Service {
	rows := []status.Service{{Name: name}}
	c.Fill(rows, now)
	return rows[0]
}

// TestLatencyLeavesOutStreams: an event stream that the client asked for, one that it did
// not ask for, and an upgraded connection.
func TestLatencyLeavesOutStreams(t *testing.T) {
	t.Parallel()
	row := minute(counted(t, "event_stream", "long_body", "websocket", "bucket_new"), "api", noon)
	require.InDelta(t, 4.0/55, row.New.Rate, 1e-9)
	require.LessOrEqual(t, row.New.P99, 0.25, "only the last one counts")
	require.Zero(t, row.New.Failed)
}

func TestLastMinute(t *testing.T) {
	t.Parallel()
	var names []string
	for range 5 { // an observed share needs 20 requests
		names = append(names, "bucket_new", "bucket_old", "rescued", "client_left", "unknown_host")
	}
	row := minute(counted(t, names...), "api", noon)
	require.NotNil(t, row.Observed)
	require.Equal(t, uint64(20), row.ObservedRequests)
	require.InDelta(t, 75, *row.Observed, 1e-9, "three of four decisions were new; 421 is none")
	require.InDelta(t, 15.0/55, row.New.Rate, 1e-9, "asked: the rescued and the abandoned ones too")
	require.InDelta(t, 10.0/55, row.Old.Rate, 1e-9)
	require.InDelta(t, 1.0/3, row.New.Failed, 1e-9, "a client that leaves is nobody's failure")
	require.Zero(t, row.Old.Failed)
	require.Equal(t, uint64(5), row.New.Rescued)
	require.Greater(t, row.New.P99, 0.1, "123 ms lie in the bucket up to 250")
	require.LessOrEqual(t, row.New.P99, 0.25)
}

// TestCacheHitsCountForNoSide: a decision counts, hit or not; a hit is no request of a side.
func TestCacheHitsCountForNoSide(t *testing.T) {
	t.Parallel()
	var names []string
	for range 10 {
		names = append(names, "cache_hit", "cache_hit", "bucket_old", "bucket_old")
	}
	row := minute(counted(t, append(names, "cache_expired")...), "api", noon)
	require.InDelta(t, 100*20.0/41, *row.Observed, 1e-9)
	require.Zero(t, row.New.Rate, "new was not asked")
	require.Zero(t, row.New.P99)
	require.InDelta(t, 21.0/55, row.Old.Rate, 1e-9)
}

func TestLastMinuteExpires(t *testing.T) {
	t.Parallel()
	c := counted(t, "rescued")
	require.Equal(t, uint64(1), minute(c, "api", noon.Add(54*time.Second)).ObservedRequests)
	later := minute(c, "api", noon.Add(60*time.Second))
	require.Zero(t, later.ObservedRequests)
	require.Zero(t, later.New.Rate)
	require.Equal(t, uint64(1), later.New.Rescued, "since the agent started")
	require.Nil(t, c.services["api"].window, "an idle service gives its window back")
}

func TestRateOfNewService(t *testing.T) {
	t.Parallel()
	c := NewCounters(noon)
	c.SetServices([]string{"api"}, noon)
	event, err := Parse(read(t, "testdata/lines/bucket_new.txt"))
	require.NoError(t, err)
	for range 300 {
		c.Add(&event, noon.Add(2*time.Second))
	}
	require.InDelta(t, 100, minute(c, "api", noon.Add(3*time.Second)).New.Rate, 1e-9, "300 in the three seconds it exists")
}

// TestWindowAgainstCalculation: random requests at random times; the sums
// are what a list of all requests gives.
func TestWindowAgainstCalculation(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var w window
		var seen []int64
		now := noon
		for range rapid.IntRange(1, 60).Draw(t, "requests") {
			now = now.Add(time.Duration(rapid.IntRange(0, 20_000).Draw(t, "pause")) * time.Millisecond)
			w.at(now).decided++
			seen = append(seen, slotNumber(now))
		}
		want := uint32(0)
		for _, number := range seen {
			if number > slotNumber(now)-slotCount {
				want++
			}
		}
		require.Equal(t, want, w.sum(now).decided)
	})
}

func TestQuantileLiesInItsBucket(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var counts [bucketCount]uint32
		millis := rapid.SliceOfN(rapid.IntRange(0, 59_000), 1, 50).Draw(t, "milliseconds")
		for _, ms := range millis {
			counts[bucketOf(time.Duration(ms)*time.Millisecond)]++
		}
		p50, p99, p100 := quantile(&counts, 0.5), quantile(&counts, 0.99), quantile(&counts, 1)
		require.LessOrEqual(t, p50, p99)
		require.LessOrEqual(t, p99, p100)
		slowest := time.Duration(slices.Max(millis)) * time.Millisecond
		require.InDelta(t, latencyBounds[bucketOf(slowest)], p100, 1e-9)
	})
}

func TestQuantileWithoutValues(t *testing.T) {
	t.Parallel()
	require.Zero(t, quantile(&[bucketCount]uint32{}, 0.99))
	require.InDelta(t, 60, quantile(&[bucketCount]uint32{len(latencyBounds): 1}, 0.5), 0, "more than the last bound")
	require.InDelta(t, 0.00175, quantile(&[bucketCount]uint32{10, 10}, 0.75), 1e-9)
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	c := counted(t, "bucket_new", "bucket_old", "rescued", "client_left", "websocket", "unknown_host")
	c.AddNotUnderstood()
	c.AddNotForwarded(7)
	require.NoError(t, testutil.CollectAndCompare(c, strings.NewReader(string(read(t, "testdata/metrics.txt")))))
	problems, err := testutil.CollectAndLint(c)
	require.NoError(t, err)
	require.Empty(t, problems)
	require.Equal(t, status.Log{Lines: 7, Dropped: 8}, c.Log())
}

func TestUnknownServicesShareOneRow(t *testing.T) {
	t.Parallel()
	c := counted(t, "bucket_new")
	before := testutil.CollectAndCount(c)
	for _, name := range []string{"evil1", "evil2", "evil3", UnknownService, NoService} {
		c.Add(&Event{Service: []byte(name), Status: 200}, noon)
	}
	require.Equal(t, before+1, testutil.CollectAndCount(c))
}

func TestRemovedServicesLoseTheirCounts(t *testing.T) {
	t.Parallel()
	c := counted(t, "bucket_new", "rescued")
	c.SetServices([]string{"other"}, noon)
	for _, series := range []prometheus.Collector{c.metrics.requests, c.metrics.failures, c.metrics.latency, c.metrics.rescued} {
		require.Zero(t, testutil.CollectAndCount(series))
	}
	require.Zero(t, minute(c, "api", noon).ObservedRequests)
	c.SetServices([]string{"api", "other"}, noon)
	require.Zero(t, minute(c, "api", noon).ObservedRequests, "it begins anew")
}

func TestRemainingServicesKeepTheirCounts(t *testing.T) {
	t.Parallel()
	c := counted(t, "bucket_new")
	c.SetServices([]string{"api", "other"}, noon)
	require.Equal(t, uint64(1), minute(c, "api", noon).ObservedRequests)
	require.Equal(t, uint64(1), minute(c, "api", noon).Split.Requests)
}

func TestSeriesPerServiceAreBounded(t *testing.T) {
	t.Parallel()
	c := counted(t)
	sides := []migration.Side{"", migration.Old, migration.New}
	reasons := []string{"direct", "header_rule[9999]", "ip_rule[1]", "strategy", "disabled", "tripped", "weight", "user_hash", "a", "b"}
	for code := range 1200 {
		for _, text := range reasons {
			parsed, rule := reason([]byte(text))
			c.Add(&Event{Service: []byte("api"), Status: code, Answered: sides[code%3], Reason: parsed, Rule: rule}, noon)
		}
	}
	require.LessOrEqual(t, testutil.CollectAndCount(c.metrics.requests), 3*6*9)
}

// TestIdleServicesUseLittleMemory: 5,000 services without traffic fit in 2 MB.
func TestIdleServicesUseLittleMemory(t *testing.T) {
	names := make([]string, 5000)
	for i := range names {
		names[i] = "service-" + strings.Repeat("x", i%7) + time.Duration(i).String()
	}
	before := heap()
	c := NewCounters(noon)
	c.SetServices(names, noon)
	used := heap() - before
	t.Logf("%d bytes per idle service", used/5000)
	require.Less(t, used, int64(2<<20))
	runtime.KeepAlive(c)
}

func heap() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

func BenchmarkIntake(b *testing.B) {
	counters := NewCounters(noon)
	counters.SetServices([]string{"api"}, noon)
	intake := &Intake{Counters: counters}
	line := read(b, "testdata/lines/bucket_new.txt")
	chunk := []byte(strings.Repeat(string(line), 500))
	b.SetBytes(int64(len(chunk)))
	for b.Loop() {
		intake.Consume(chunk, noon)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/500, "ns/line")
}

// TestCountersAreSafeForConcurrentUse is for the race detector: counting
// goes on while others scrape, ask and change the table.
func TestCountersAreSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	c := counted(t)
	event, err := Parse(read(t, "testdata/lines/rescued.txt"))
	require.NoError(t, err)
	var group sync.WaitGroup
	for _, work := range []func(){
		func() { c.Add(&event, noon) },
		func() { testutil.CollectAndCount(c) },
		func() { minute(c, "api", noon); c.Log() },
		func() { c.SetServices([]string{"api", "web"}, noon) },
	} {
		group.Go(func() {
			for range 200 {
				work()
			}
		})
	}
	group.Wait()
	require.Equal(t, uint64(200), c.Log().Lines)
	require.Equal(t, uint64(200), minute(c, "api", noon).New.Rescued)
}

func TestTruncatedAnswerIsAFailure(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	c := NewCounters(now)
	c.SetServices([]string{"api"}, now)
	well := Upstream{Tries: 1, Status: 200, Connected: true, Replied: true}
	for range 4 {
		c.Add(&Event{Service: []byte("api"), Decision: migration.New, Answered: migration.New, New: well}, now)
	}
	c.AddBrokenAnswer("api", migration.New, fallback.FailureReset, now)
	c.AddBrokenAnswer("api", migration.Old, fallback.FailureTimeout, now)
	c.AddBrokenAnswer("gone", migration.New, fallback.FailureReset, now)
	rows := []status.Service{{Name: "api"}}
	c.Fill(rows, now)
	require.InDelta(t, 0.25, rows[0].New.Failed, 1e-9)
	require.InDelta(t, 1, testutil.ToFloat64(c.metrics.failures.WithLabelValues("api", "new", "reset")), 0)
	require.InDelta(t, 1, testutil.ToFloat64(c.metrics.failures.WithLabelValues("api", "old", "timeout")), 0)
}

func BenchmarkAdd(b *testing.B) {
	for _, name := range []string{"bucket_new", "rescued"} {
		b.Run(name, func(b *testing.B) {
			counters := NewCounters(noon)
			counters.SetServices([]string{"api"}, noon)
			event, err := Parse(read(b, "testdata/lines/"+name+".txt"))
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				counters.Add(&event, noon)
			}
		})
	}
}

// BenchmarkServiceMemory: bytes of a service with traffic on both sides.
func BenchmarkServiceMemory(b *testing.B) {
	event, err := Parse(read(b, "testdata/lines/rescued.txt"))
	require.NoError(b, err)
	names := make([]string, 1000)
	for i := range names {
		names[i] = "service-" + time.Duration(i).String()
	}
	for b.Loop() {
		before := heap()
		c := NewCounters(noon)
		c.SetServices(names, noon)
		for _, name := range names {
			event.Service = []byte(name)
			c.Add(&event, noon)
		}
		c.Fill([]status.Service{{Name: "x"}}, noon)
		b.ReportMetric(float64(heap()-before)/1000, "bytes/service")
		runtime.KeepAlive(c)
	}
}

// TestRefusedBySize: nginx answers a Content-Length above max_body_size before it
// chooses a service; the host and the path of the line say which one it is.
func TestRefusedBySize(t *testing.T) {
	t.Parallel()
	backend := migration.Backend{Scheme: migration.HTTP, Host: "192.0.2.1", Port: 80}
	row := migration.Service{Name: "api", OldHost: "api.example", PathPrefix: "/v1", OldBackend: backend, NewBackend: backend}
	table, err := migration.NewTable(migration.Global{}, []migration.Service{row})
	require.NoError(t, err)
	c := counted(t)
	refused := func(target string) {
		event, err := Parse(fmt.Appendf(nil, `192.168.1.1 - - [01/Jan/2024:12:00:00 +0000] "PUT %s HTTP/1.1" 413 150 backend="" service="" decision="" upstream_status="-" host="api.example"`, target))
		require.NoError(t, err)
		c.Add(&event, noon)
	}
	refused("/v1/x")
	require.InDelta(t, 1, requests(t, c, NoService), 0, "before the first table")
	c.SetRoutes(table, noon)
	refused("/v1/x?y")
	require.InDelta(t, 1, requests(t, c, "api"), 0)
	refused("/v2")
	refused("/%zz")
	require.InDelta(t, 3, requests(t, c, NoService), 0)
}

// requests gives the number of requests with code class 4xx that went to no side.
func requests(t *testing.T, c *Counters, service string) float64 {
	t.Helper()
	return testutil.ToFloat64(c.metrics.requests.WithLabelValues(service, "none", "4xx", "none"))
}

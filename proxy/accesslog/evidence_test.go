package accesslog

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// rampedService is service api with a ramp, and 20 % in force since an hour ago.
func rampedService() migration.Service {
	return migration.Service{
		Name: "api", OldHost: "api.example", PathPrefix: "/", Enabled: true, Share: 2000, Strategy: migration.StrategyWeight,
		Ramp: &migration.Ramp{Steps: []migration.RampStep{{To: 100}}}, Fallback: migration.Fallback{OnStatus: []int{404}},
	}
}

func ramped(t testing.TB, service migration.Service, lines ...string) *Counters {
	t.Helper()
	counters := NewCounters(noon.Add(-time.Hour))
	counters.SetServices([]string{"api"}, noon.Add(-time.Hour))
	counters.SetShare("api", service.Share, noon.Add(-time.Hour))
	route(t, counters, service)
	for _, line := range lines {
		addLine(t, counters, line, noon)
	}
	return counters
}

func route(t testing.TB, counters *Counters, services ...migration.Service) {
	t.Helper()
	table, err := migration.NewTable(migration.Global{}, services)
	require.NoError(t, err)
	counters.SetRoutes(table, noon)
}

func addLine(t testing.TB, counters *Counters, name string, now time.Time) {
	t.Helper()
	event, err := Parse(read(t, "testdata/lines/"+name+".txt"))
	require.NoError(t, err)
	counters.Add(&event, now)
}

func evidenceOf(t testing.TB, c *Counters) status.ServiceEvidence {
	t.Helper()
	found, ok := c.Evidence(noon).Services["api"]
	require.True(t, ok)
	return found
}

// TestEvidence: each side by its own outcome, whatever the client got.
func TestEvidence(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		line     string
		old, new status.EvidenceSide
	}{
		{line: "bucket_new", new: status.EvidenceSide{Requests: 1}},
		{line: "bucket_old", old: status.EvidenceSide{Requests: 1, Failed: 1}}, // 404 is in on_status, which judges both sides
		{line: "rescued", new: status.EvidenceSide{Requests: 1, Failed: 1}},
		{line: "post_not_repeated", new: status.EvidenceSide{Requests: 1, Failed: 1}},
		{line: "client_left"},
		{line: "event_stream", new: status.EvidenceSide{Requests: 1}},
		{line: "cache_hit"},
		{line: "body_too_large"},
		{line: "unknown_host"},
	} {
		t.Run(c.line, func(t *testing.T) {
			t.Parallel()
			found := evidenceOf(t, ramped(t, rampedService(), c.line))
			require.Equal(t, c.old, found.Old)
			require.Equal(t, c.new, found.New)
		})
	}
}

// TestEvidenceLeavesOutRules: testers are not like the others.
func TestEvidenceLeavesOutRules(t *testing.T) {
	t.Parallel()
	counters := ramped(t, rampedService())
	event, err := Parse(read(t, "testdata/lines/bucket_new.txt"))
	require.NoError(t, err)
	for _, reason := range []migration.Code{migration.ReasonHeaderRule, migration.ReasonIPRule, migration.ReasonDirect, migration.ReasonTripped} {
		event.Reason = reason
		counters.Add(&event, noon)
	}
	require.Zero(t, evidenceOf(t, counters).New)
}

// TestSlowCountIsExact: 123 ms are slow for a bound of 122, and not for one of 123. A stream
// is never slow, and a client that left is slow when it waited longer than the bound.
func TestSlowCountIsExact(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		line     string
		old, new time.Duration
		slow     uint64
	}{
		{"bucket_new", time.Nanosecond, 0, 0},
		{"bucket_new", 0, 123 * time.Millisecond, 0},
		{"bucket_new", 0, 122 * time.Millisecond, 1},
		{"event_stream", 0, time.Millisecond, 0},
		{"websocket", 0, time.Millisecond, 0},
		{"long_body", 0, time.Millisecond, 0},
		{"client_left", 0, time.Millisecond, 1},
	} {
		counters := ramped(t, rampedService())
		counters.SetSlow("api", c.old, c.new)
		addLine(t, counters, c.line, noon)
		require.Equal(t, c.slow, evidenceOf(t, counters).New.Slow, c)
	}
}

// TestEvidenceLeavesOutStragglers: another share decided them.
func TestEvidenceLeavesOutStragglers(t *testing.T) {
	t.Parallel()
	counters := ramped(t, rampedService(), "bucket_new")
	counters.SetShare("api", 5000, noon.Add(time.Second))
	addLine(t, counters, "bucket_new", noon.Add(2*time.Second))
	found := evidenceOf(t, counters)
	require.Equal(t, uint64(1), found.New.Requests, "counters only grow")
	require.Equal(t, noon.Add(time.Second), found.Since)
	require.InDelta(t, 50, found.Share, 0)
}

// TestEvidenceNeedsARamp: nothing is held for a service without one; when a ramp ends,
// the reader must not take a difference over it.
func TestEvidenceNeedsARamp(t *testing.T) {
	t.Parallel()
	service := rampedService()
	counters := ramped(t, service, "bucket_new")
	begun := counters.Evidence(noon).StartedAt
	require.Equal(t, noon.Add(-time.Hour), begun)
	service.Ramp = nil
	route(t, counters, service)
	require.Nil(t, counters.services["api"].evidence)
	require.Empty(t, counters.Evidence(noon).Services)
	require.Equal(t, noon, counters.Evidence(noon).StartedAt)
	route(t, counters, rampedService())
	require.Zero(t, evidenceOf(t, counters).New)
	require.InDelta(t, 20, evidenceOf(t, counters).Share, 0)
}

// TestTruncatedAnswersAreEvidence where nothing but chance decides.
func TestTruncatedAnswersAreEvidence(t *testing.T) {
	t.Parallel()
	counters := ramped(t, rampedService())
	counters.AddBrokenAnswer("api", migration.New, fallback.FailureReset, noon)
	require.Zero(t, evidenceOf(t, counters).New, "never more failures than requests")
	addLine(t, counters, "bucket_new", noon)
	require.Equal(t, status.EvidenceSide{Requests: 1, Failed: 1}, evidenceOf(t, counters).New)

	service := rampedService()
	service.HeaderRules = []migration.HeaderRule{{}}
	counters = ramped(t, service, "bucket_new")
	counters.AddBrokenAnswer("api", migration.New, fallback.FailureReset, noon)
	require.Zero(t, evidenceOf(t, counters).New.Failed)
}

// TestEvidenceByBucket: each bucket counts once in five minutes.
func TestEvidenceByBucket(t *testing.T) {
	t.Parallel()
	service := rampedService()
	service.Strategy = migration.StrategyUserHash
	counters := ramped(t, service, "bucket_new", "bucket_new", "rescued")
	found := evidenceOf(t, counters).Buckets
	require.Equal(t, noon, found.Epoch)
	require.Equal(t, []int{7, 1234}, members(found.Seen))
	require.Equal(t, []int{7}, members(found.Failed))
	require.Empty(t, members(found.Slow))

	later := counters.Evidence(noon.Add(5 * time.Minute)).Services["api"].Buckets
	require.Equal(t, noon.Add(5*time.Minute), later.Epoch)
	require.Empty(t, members(later.Seen))
	counters.SetShare("api", 500, noon.Add(6*time.Minute))
	require.Equal(t, noon.Add(6*time.Minute), counters.Evidence(noon.Add(7 * time.Minute)).Services["api"].Buckets.Epoch)
	require.Nil(t, evidenceOf(t, ramped(t, rampedService(), "bucket_new")).Buckets)
}

func members(set []byte) []int {
	var all []int
	for i := range 8 * len(set) {
		if set[i/8]&(1<<(i%8)) != 0 {
			all = append(all, i)
		}
	}
	return all
}

// TestOldLatencyIsOfTenMinutes: its 99th percentile is fine enough for a bound.
func TestOldLatencyIsOfTenMinutes(t *testing.T) {
	t.Parallel()
	counters := ramped(t, rampedService())
	event, err := Parse(read(t, "testdata/lines/bucket_old.txt"))
	require.NoError(t, err)
	for i := range 1000 {
		event.Old.Latency = time.Duration(i+1) * time.Millisecond
		counters.Add(&event, noon)
	}
	found := evidenceOf(t, counters)
	require.InEpsilon(t, 0.990, status.LatencyQuantile(found.OldLatency, 0.99), 0.05)
	later := func(d time.Duration) []uint64 { return counters.Evidence(noon.Add(d)).Services["api"].OldLatency }
	require.NotEmpty(t, later(9*time.Minute))
	require.Empty(t, later(10*time.Minute))
}

// BenchmarkEvidence compares services with and without a ramp.
func BenchmarkEvidence(b *testing.B) {
	hashed, plain := rampedService(), rampedService()
	hashed.Strategy = migration.StrategyUserHash
	plain.Ramp = nil
	for name, service := range map[string]migration.Service{"no ramp": plain, "ramp": rampedService(), "ramp user_hash": hashed} {
		for _, line := range []string{"bucket_new", "bucket_old"} {
			b.Run(name+" "+line, func(b *testing.B) {
				counters := ramped(b, service)
				event, err := Parse(read(b, "testdata/lines/"+line+".txt"))
				require.NoError(b, err)
				b.ReportAllocs()
				for b.Loop() {
					counters.Add(&event, noon)
				}
			})
		}
	}
}

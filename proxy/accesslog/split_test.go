package accesslog

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// decided is a request that a bucket decided, in a line from that time that took so
// long.
func decided(side migration.Side, logged time.Time, took time.Duration) *Event {
	return &Event{
		Service: []byte("api"), Status: 200, Answered: side, Decision: side, Reason: ReasonBucket,
		Logged: []byte(logged.Format(timeLocal)), RequestTime: took,
	}
}

func rowOf(c *Counters, now time.Time) status.Service {
	rows := []status.Service{{Name: "api"}}
	c.Fill(rows, now)
	return rows[0]
}

// TestObservedStartsWithTheShare: after a change of the share only requests count
// that it decided, also when those from before end, or are read, later.
func TestObservedStartsWithTheShare(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	c := NewCounters(begin)
	c.SetServices([]string{"api"}, begin)
	c.SetShare("api", 500, begin)
	for range 950 {
		c.Add(decided(migration.Old, begin.Add(10*time.Second), time.Second), begin.Add(10*time.Second))
	}
	for range 50 {
		c.Add(decided(migration.New, begin.Add(10*time.Second), time.Second), begin.Add(10*time.Second))
	}
	row := rowOf(c, begin.Add(10*time.Second))
	require.InDelta(t, 5, *row.Observed, 0.001)
	require.Equal(t, status.Split{Since: begin, Share: 5, Requests: 1000, New: 50}, row.Split)

	changed := begin.Add(20*time.Second + 300*time.Millisecond)
	c.SetShare("api", 5000, changed)
	read := changed.Add(5 * time.Second)
	c.Add(decided(migration.Old, changed.Add(-2*time.Second), time.Millisecond), read)    // read late
	c.Add(decided(migration.Old, changed.Add(4*time.Second), 10*time.Second), read)       // took long
	c.Add(decided(migration.Old, changed.Add(200*time.Millisecond), time.Second), read)   // in the same second
	c.Add(decided(migration.New, changed.Add(2*time.Second), 100*time.Millisecond), read) // after
	row = rowOf(c, read)
	require.Nil(t, row.Observed, "one request says nothing")
	require.Equal(t, uint64(1), row.ObservedRequests)
	require.Equal(t, status.Split{Since: changed, Share: 50, Requests: 1, New: 1}, row.Split)
	require.False(t, row.Split.Deviates())
	for i := range 19 {
		c.Add(decided([]migration.Side{migration.Old, migration.New}[i%2], changed.Add(3*time.Second), 0), read)
	}
	require.InDelta(t, 50, *rowOf(c, read).Observed, 0.001)
}

// TestSplitLeavesOut: rules and the port for new are no decisions of the share, and a
// rescue is one for new.
func TestSplitLeavesOut(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	c := NewCounters(now)
	c.SetServices([]string{"api"}, now)
	for _, reason := range []migration.Code{migration.ReasonHeaderRule, migration.ReasonIPRule, migration.ReasonDirect, ReasonBucket} {
		event := decided(migration.New, now.Add(time.Second), 0)
		event.Reason, event.Answered = reason, migration.Old
		c.Add(event, now.Add(time.Second))
	}
	rows := []status.Service{{Name: "api"}, {Name: "unknown"}}
	c.FillSplits(rows, now.Add(2*time.Second))
	require.Equal(t, status.Split{Since: now, Requests: 1, New: 1, Direct: 1}, rows[0].Split)
	require.Equal(t, uint64(4), rowOf(c, now.Add(2*time.Second)).ObservedRequests)
	require.Zero(t, rows[1].Split)
}

// TestSplitRestarts: what goes wrong after millions of requests is seen.
func TestSplitRestarts(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	c := NewCounters(now)
	c.SetServices([]string{"api"}, now)
	c.SetShare("api", 2500, now)
	event := decided(migration.Old, now, 0)
	event.Logged = nil // now counts
	for i := range 2*maxSplit - 1 {
		event.Decision = migration.Old
		if i%4 == 0 {
			event.Decision = migration.New
		}
		c.Add(event, now)
	}
	require.Equal(t, uint64(maxSplit-1), rowOf(c, now).Split.Requests)
	event.Decision = migration.Old
	for range 4200 {
		require.LessOrEqual(t, rowOf(c, now).Split.Requests, uint64(maxSplit))
		c.Add(event, now)
	}
	require.LessOrEqual(t, rowOf(c, now).Split.Requests, uint64(maxSplit))
}

// TestLoggedAt: the time of a line, whatever a client has as its name.
func TestLoggedAt(t *testing.T) {
	t.Parallel()
	const rest = ` "GET / HTTP/1.1" 200 1 backend="-" decision="-" upstream_status="-"`
	for head, want := range map[string]string{
		`192.0.2.1 - - [01/Jan/2024:12:00:00 +0000]`:      "01/Jan/2024:12:00:00 +0000",
		`192.0.2.1 - [evil] [01/Jan/2024:12:00:00 +0100]`: "01/Jan/2024:12:00:00 +0100",
		`192.0.2.1 - ]evil[ [01/Jan/2024:12:00:00 +0100]`: "01/Jan/2024:12:00:00 +0100",
		`192.0.2.1 - -`: "",
	} {
		event, err := Parse([]byte(head + rest))
		require.NoError(t, err)
		require.Equal(t, want, string(event.Logged), head)
	}
	var clock logClock
	for _, text := range []string{"", "x", "01/Jan/2024 12:00:00 +0000"} {
		_, ok := clock.read([]byte(text))
		require.False(t, ok, text)
	}
	got, ok := clock.read(fmt.Appendf(nil, "01/Jan/2024:12:00:00 +0100"))
	require.True(t, ok)
	require.Equal(t, int64(1704106800), got.Unix())
}

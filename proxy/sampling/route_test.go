package sampling

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/compare"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy/accesslog"
)

// TestMended: the rarer a difference was, the more equal answers are needed.
func TestMended(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ looks, differed, want int }{
		"always": {10, 10, 3}, "every other time": {10, 5, 8}, "seldom": {20, 2, 51}, "never": {20, 0, -1},
	} {
		r := route{}
		for i := range c.looks {
			require.False(t, r.saw(i >= c.looks-c.differed), name)
		}
		got := -1
		for i := 1; i <= 100 && got < 0; i++ {
			if r.saw(false) {
				got = i
			}
		}
		require.Equal(t, c.want, got, name)
	}
}

// brokenUntil differs until a time.
type brokenUntil struct {
	until time.Time
	mu    sync.Mutex
	began []time.Time
}

func (l *brokenUntil) Look(_ context.Context, _ *migration.Service, request compare.Request) (compare.Sample, compare.Verdict, Cost) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.began = append(l.began, time.Now())
	answer := compare.Answer{Status: 200}
	sample, verdict := compare.Sample{Request: request, Old: answer, New: answer, Again: answer}, compare.Verdict{}
	if time.Now().Before(l.until) {
		verdict.Differences = []compare.Difference{{Field: "status", Cause: compare.NotFound, Text: "404 on new, 200 on old"}}
	}
	return sample, verdict, Cost{3, 3}
}

// TestMendedIsForgotten: a route that differed, and no longer does, counts as alike within
// minutes, although its samples of the hour were used up. Until then it is asked once a
// minute.
func TestMendedIsForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broken := 10 * time.Minute
		looker := &brokenUntil{until: time.Now().Add(broken)}
		sampler := NewSampler(looker)
		sampler.SetTable(comparedTable(t))
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { sampler.Run(ctx) })
		send := func(span time.Duration) {
			for end := time.Now().Add(span); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
				sampler.ObserveRequest(&accesslog.Event{Service: []byte("api"), Method: []byte("GET"), Host: []byte("api.example.com"), Target: []byte("/one")}, time.Now())
			}
		}
		send(broken)
		require.InDelta(t, usualPace.PerRoute+10, len(looker.began), 2, "once a minute after those of the hour")
		before := sampler.Tally("api", time.Time{}, time.Now()).Report()
		require.Zero(t, *before.Same)
		require.Len(t, before.Findings, 1)

		send(5 * time.Minute)
		after := sampler.Tally("api", time.Time{}, time.Now()).Report()
		require.InDelta(t, 100, *after.Same, 0)
		require.Empty(t, after.Findings)
		require.Equal(t, usualPace.PerRoute, after.Samples, "it has those of an hour again")
		require.Greater(t, after.Requests, before.Requests, "requests of clients are not forgotten")
		cancel()
		running.Wait()
	})
}

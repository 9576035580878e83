package status_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/migration-proxy/migration-proxy/internal/status"
)

var since = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func split(share float64, requests, toNew uint64) status.Split {
	return status.Split{Since: since, Share: share, Requests: requests, New: toNew}
}

// TestDeviates is the table in the comment of Deviates, and its ends.
func TestDeviates(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		split status.Split
		want  bool
	}{
		{split(25, 0, 0), false},
		{split(25, 4000, 0), true},
		{split(25, 98, 0), false},
		{split(25, 99, 0), true},
		{split(25, 4000, 880), false},
		{split(25, 4000, 800), false},
		{split(25, 4000, 790), true},
		{split(25, 4000, 1000), false},
		{split(25, 4000, 4000), true},
		{split(0, 4000, 0), false},
		{split(0, 4000, 1), false}, // one stray
		{split(0, 4000, 40), true},
		{split(100, 4000, 4000), false},
		{split(100, 4000, 3999), false},
		{split(100, 4000, 3000), true},
		{split(0.01, 100_000, 0), false}, // ten are expected: too few to tell
		{split(0.01, 100_000, 100), true},
	} {
		require.Equal(t, c.want, c.split.Deviates(), "%+v", c.split)
	}
}

// TestDeviatesIsMonotone: what is further from the share deviates too, and so do
// more requests with the same part at new; the two sides are symmetric.
func TestDeviatesIsMonotone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		share := float64(rapid.IntRange(0, 10000).Draw(t, "share")) / 100
		n := uint64(rapid.IntRange(1, 100_000).Draw(t, "requests"))
		k := uint64(rapid.IntRange(0, int(n)).Draw(t, "new"))
		require.Equal(t, split(share, n, k).Deviates(), split(100-share, n, n-k).Deviates(), "old and new change places")
		if !split(share, n, k).Deviates() {
			return
		}
		require.True(t, split(share, 2*n, 2*k).Deviates(), "twice as many")
		if observed := 100 * float64(k) / float64(n); observed < share && k > 0 {
			require.True(t, split(share, n, k-1).Deviates(), "further down")
		} else if observed > share && k < n {
			require.True(t, split(share, n, k+1).Deviates(), "further up")
		}
	})
}

// TestNoFalseAlarm: requests that are split as wanted never deviate, at whatever
// moment they are looked at.
func TestNoFalseAlarm(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for _, share := range []int{0, 1, 100, 2500, 5000, 9999, 10000} {
		for range 20 {
			s := split(float64(share)/100, 0, 0)
			for range 20_000 {
				s.Requests++
				if random.IntN(10000) < share {
					s.New++
				}
				require.False(t, s.Deviates(), "%+v", s)
			}
		}
	}
}

func TestDeviation(t *testing.T) {
	t.Parallel()
	service := status.Service{Strategy: "weight", Share: 25, Phase: status.Migrating, Split: split(25, 4000, 0)}
	require.Equal(t, "observed 0.0 % of 4000 requests, 25 % wanted since 2026-01-01T12:00:00Z", service.Deviation(since))
	service.Strategy = "user_hash"
	require.Empty(t, service.Deviation(since), "few users decide many requests")

	canary := status.Service{Strategy: "weight", Phase: status.Migrating, Split: status.Split{Since: since, Direct: 7}}
	later := since.Add(2 * time.Minute)
	require.Contains(t, canary.Deviation(later), "sent 7 requests of the last minute to new")
	require.Empty(t, canary.Deviation(since.Add(time.Minute)), "they may be from before the change")
	canary.RulesToNew = true
	require.Empty(t, canary.Deviation(later), "a header may have chosen new")
	canary.RulesToNew, canary.Share = false, 20
	require.Empty(t, canary.Deviation(later), "of how many requests they are a part is not known")
	canary.Phase = status.Disabled
	require.NotEmpty(t, canary.Deviation(later))
}

// TestSplitPlus: replicas add up, but a replica that still has another share is left
// out.
func TestSplitPlus(t *testing.T) {
	t.Parallel()
	first, second := split(25, 10, 1), split(25, 30, 12)
	second.Since = since.Add(time.Second)
	sum := first.Plus(second)
	require.Equal(t, status.Split{Since: second.Since, Share: 25, Requests: 40, New: 13}, sum)
	require.Equal(t, sum, second.Plus(first))
	require.Equal(t, first, status.Split{}.Plus(first))
	second.Share = 50
	require.Equal(t, second, first.Plus(second))
	require.Equal(t, second, second.Plus(first))
}

package ramp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/migration"
)

func TestDoubts(t *testing.T) {
	t.Parallel()
	judge := migration.RampJudge{Failures: migration.OddsLimits{Tolerate: 1.5, Exclude: 3}, MaxExtra: 0.005, MinRequests: 600}
	shop := func(change func(*migration.Service), steps ...migration.Share) *migration.Service {
		s := &migration.Service{Name: "shop", Strategy: migration.StrategyWeight, Ramp: &migration.Ramp{Judge: judge}}
		for _, to := range steps {
			s.Ramp.Steps = append(s.Ramp.Steps, migration.RampStep{To: to, Hold: time.Hour})
		}
		change(s)
		return s
	}
	asItIs := func(*migration.Service) {}
	userHash := func(s *migration.Service) { s.Strategy = migration.StrategyUserHash }
	for name, c := range map[string]struct {
		service *migration.Service
		rate    float64
		want    map[int]string // by step
	}{
		"no ramp":              {&migration.Service{}, 1, nil},
		"the usual":            {shop(asItIs, 100, 500, 9900, 10000), 1, nil},
		"no rate":              {shop(asItIs, 1, 100), 0, nil},
		"too slow":             {shop(asItIs, 10, 100, 500), 0.5, map[int]string{0: "at 0.5 requests per second it takes 14 days at least until 600", 1: "2 days"}},
		"it would hold longer": {shop(func(s *migration.Service) { s.Ramp.Steps[0].Hold = 15 * sensible }, 10), 0.5, nil},
		"no_data ends it":      {shop(func(s *migration.Service) { s.Ramp.NoData = time.Hour }, 10), 0.5, nil},
		"many requests":        {shop(func(s *migration.Service) { s.Ramp.Judge.MinRequests = 1e6 }, 100), 100, map[int]string{0: "12 days"}},
		"hardly any extra":     {shop(func(s *migration.Service) { s.Ramp.Judge.MaxExtra = 0.0001 }, 100), 10, map[int]string{0: "until 29688 of them"}},
		"no extra":             {shop(func(s *migration.Service) { s.Ramp.Judge.MaxExtra = 0 }, 100), 0, map[int]string{0: "max_extra: 0.5"}},
		"no user can fail":     {shop(userHash, 2, 3), 0, map[int]string{0: "2 of 10000 buckets"}},
		"old starves":          {shop(asItIs, 9900, 9999), 0, map[int]string{1: "only after"}},
	} {
		found := map[int]string{}
		for _, doubt := range Doubts(c.service, c.rate) {
			found[doubt.Step] = doubt.Text
		}
		require.Len(t, found, len(c.want), "%s: %v", name, found)
		for step, text := range c.want {
			require.Contains(t, found[step], text, name)
		}
	}
}

// TestFailuresUntilBad: what Doubts says is what the judge does.
func TestFailuresUntilBad(t *testing.T) {
	t.Parallel()
	limits := migration.OddsLimits{Tolerate: 1.5, Exclude: 3}
	for _, share := range []migration.Share{500, 5000, 9900} {
		needed := failuresUntilBad(share, limits)
		for _, c := range []struct {
			failures float64
			bad      bool
		}{{needed, true}, {needed / 3, false}} {
			var tally Tally
			tally.add(limits, stratum{oldUnits: 1e6 * (1 - share.Percent()/100), newUnits: 1e6 * share.Percent() / 100, newEvents: c.failures}, true)
			require.Equal(t, c.bad, tally.isBad(), "%s %%: %g failures of %g", share, c.failures, needed)
		}
	}
	var two Tally
	two.add(limits, stratum{oldUnits: 1e6, newUnits: 1, newEvents: minBuckets - 1}, true)
	require.False(t, two.isBad())
	two.add(limits, stratum{oldUnits: 1e6, newUnits: 1, newEvents: 1}, true)
	require.True(t, two.isBad())
}

package fallback_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

// TestCountsAreExact compares with the plainest model: a list of times.
func TestCountsAreExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(1, 6).Draw(t, "max_failures")
		window := time.Duration(rapid.IntRange(1, 90).Draw(t, "window")) * time.Second
		counts := fallback.NewCounts(most, window)
		now, failures := start, []time.Time{}
		for range rapid.IntRange(0, 60).Draw(t, "requests") {
			now = now.Add(time.Duration(rapid.IntRange(0, 20000).Draw(t, "pause")) * time.Millisecond)
			failure := rapid.SampledFrom([]fallback.Failure{"", fallback.FailureReset}).Draw(t, "failure")
			counts.Add(fallback.Outcome{}, failure, nil, now)
			if failure != "" {
				failures = append(failures, now)
			}
			within := 0
			for _, at := range failures {
				if now.Sub(at) < window {
					within++
				}
			}
			require.Equal(t, within >= most, counts.Reached(0, now))
			evidence := counts.Evidence(now)
			require.GreaterOrEqual(t, evidence.Failures, min(within, most))
			require.LessOrEqual(t, evidence.Failures, within)
			require.GreaterOrEqual(t, evidence.Requests, evidence.Failures)
		}
	})
}

func TestWindowIsOpenAtItsEnd(t *testing.T) {
	t.Parallel()
	counts := fallback.NewCounts(2, time.Minute)
	counts.Add(fallback.Outcome{}, fallback.FailureReset, nil, start)
	counts.Add(fallback.Outcome{}, fallback.FailureReset, nil, start.Add(time.Minute-1))
	require.True(t, counts.Reached(0, start.Add(time.Minute-1)))
	require.False(t, counts.Reached(0, start.Add(time.Minute)))
}

// TestRatioIsReachedExactly: n of 100 is n %, though 0.07*100 is more than 7.
func TestRatioIsReachedExactly(t *testing.T) {
	t.Parallel()
	for percent := 1; percent <= 100; percent++ {
		counts := fallback.NewCounts(1, time.Minute)
		for i := range 100 {
			failure := fallback.NoFailure
			if i < percent {
				failure = fallback.FailureReset
			}
			counts.Add(fallback.Outcome{}, failure, nil, start)
		}
		require.True(t, counts.Reached(float64(percent)/100, start), "%d %%", percent)
	}
}

// TestCountsWithoutAClock: whatever the times, no more failures than happened
// since the clock last went back, and no panic.
func TestCountsWithoutAClock(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		counts := fallback.NewCounts(5, time.Minute)
		for i := range 30 {
			now := start.Add(time.Duration(rapid.Int64().Draw(t, "jump")))
			counts.Add(fallback.Outcome{}, fallback.FailureReset, nil, now)
			require.LessOrEqual(t, counts.Evidence(now).Failures, i+1)
			require.False(t, i < 4 && counts.Reached(0, now))
		}
	})
}

// TestJumpBackStartsAfresh, but readers that overtake each other by less than
// a second do not.
func TestJumpBackStartsAfresh(t *testing.T) {
	t.Parallel()
	for jump, reached := range map[time.Duration]bool{500 * time.Millisecond: true, time.Hour: false} {
		counts := fallback.NewCounts(5, time.Minute)
		for range 4 {
			counts.Add(fallback.Outcome{}, fallback.FailureReset, nil, start)
		}
		counts.Add(fallback.Outcome{}, fallback.FailureReset, nil, start.Add(-jump))
		require.Equal(t, reached, counts.Reached(0, start.Add(-jump)), jump)
	}
}

func drawConfig(t *rapid.T) fallback.Config {
	return fallback.Config{
		Idle: rapid.IntRange(0, 9).Draw(t, "idle") == 0, Enabled: rapid.IntRange(0, 9).Draw(t, "enabled") > 0,
		MaxFailures: rapid.IntRange(1, 4).Draw(t, "max"), Window: time.Duration(rapid.IntRange(1, 60).Draw(t, "window")) * time.Second,
		RecoveryTime: time.Duration(rapid.IntRange(1, 600).Draw(t, "recovery")) * time.Second,
		Probed:       rapid.Bool().Draw(t, "probed"), OnStatus: []int{503},
	}
}

func drawProbes(t *rapid.T) fallback.Probes {
	return fallback.Probes{
		New:     rapid.SampledFrom([]fallback.Health{fallback.Unknown, fallback.Healthy, fallback.Unhealthy}).Draw(t, "new"),
		OldDown: rapid.IntRange(0, 5).Draw(t, "old") == 0,
		Error:   rapid.String().Draw(t, "error"),
	}
}

func drawState(t *rapid.T) fallback.State {
	s := fallback.State{Phase: rapid.SampledFrom([]status.Phase{status.Migrating, status.FallenBack, status.Recovering}).Draw(t, "phase")}
	s.Since = start.Add(time.Duration(rapid.Int64Range(-1e15, 1e15).Draw(t, "since")))
	s.Doublings = rapid.IntRange(0, 3).Draw(t, "doublings")
	s.Manual = s.Phase == status.FallenBack && rapid.Bool().Draw(t, "manual")
	if !s.Manual {
		s.Until = start.Add(time.Duration(rapid.Int64Range(-1e15, 1e15).Draw(t, "until")))
	}
	return s
}

// TestMachineKeepsItsPromises runs machines through anything that can happen.
func TestMachineKeepsItsPromises(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		config, now := drawConfig(t), start
		m := fallback.New(config, fallback.State{})
		seen := 0 // failures since the phase began
		for range rapid.IntRange(0, 80).Draw(t, "events") {
			now = now.Add(time.Duration(rapid.IntRange(-5, 200).Draw(t, "pause")) * time.Second)
			before := m.State()
			var tr fallback.Transition
			switch rapid.IntRange(0, 9).Draw(t, "event") {
			case 0:
				config = drawConfig(t)
				tr = m.Configure(config, now)
			case 1:
				command := rapid.SampledFrom([]fallback.Command{fallback.Trip, fallback.Clear}).Draw(t, "command")
				tr = m.Command(command, rapid.String().Draw(t, "by"), now)
			case 2, 3, 4:
				tr = m.Tick(drawProbes(t), now)
			default:
				seen++
				tr = m.Request(busy, rapid.SliceOfN(rapid.Byte(), 0, 400).Draw(t, "id"), now)
			}
			promises(t, config, before, m.State(), tr, seen)
			if tr.From != tr.To {
				seen = 0
			}
		}
	})
}

func promises(t *rapid.T, c fallback.Config, before, after fallback.State, tr fallback.Transition, seen int) {
	require.False(t, c.Idle && after.Phase != status.Migrating && tr.Happened(), "a user's edit wins")
	require.False(t, !c.Enabled && after.Phase != status.Migrating && !after.Manual && tr.Happened(), "a user's edit wins")
	require.Equal(t, before.Phase != after.Phase, tr.From != tr.To, "no change without a transition")
	if tr.Cause == fallback.ByFailures {
		require.GreaterOrEqual(t, seen, c.MaxFailures)
		require.False(t, tr.Evidence.OldDown)
		require.LessOrEqual(t, len(tr.Evidence.RequestIDs), fallback.MaxRequestIDs)
	}
	if tr.To == status.FallenBack && !after.Manual {
		require.Equal(t, c.HoldOff(after.Doublings), tr.Until.Sub(tr.At))
		require.LessOrEqual(t, after.Doublings, before.Doublings+1)
		if before.Phase == status.Recovering {
			require.GreaterOrEqual(t, after.Doublings, before.Doublings, "the hold-off never shrinks by failing")
		}
	}
	text, err := fallback.EncodeState(after)
	require.NoError(t, err)
	decoded, err := fallback.DecodeState(text)
	require.NoError(t, err)
	require.Equal(t, after, decoded, "what is stored is what was")
}

// TestStepSettles: no state and sample make Step change its mind for ever, and
// no state waits longer than its phase.
func TestStepSettles(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c, s := drawConfig(t), drawState(t)
		in := fallback.Sample{Probes: drawProbes(t), Failing: rapid.Bool().Draw(t, "failing")}
		for range 4 {
			s, _ = fallback.Step(c, s, in, start)
		}
		again, tr := fallback.Step(c, s, in, start)
		require.False(t, tr.Happened())
		require.Equal(t, s, again)
		require.LessOrEqual(t, s.Until.Sub(start), max(c.HoldOff(3), c.Window))
	})
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		``:                                   "unexpected end",
		`[]`:                                 "cannot unmarshal",
		`{"phase":"Migrating"}`:              "version 0 is not 1",
		`{"version":2,"phase":"Migrating"}`:  "version 2 is not 1",
		`{"version":1,"phase":"Confused"}`:   "is not a phase",
		`{"version":1,"phase":"FallenBack"}`: "has no end",
		`{"version":1,"phase":"Migrating","doublings":4}`:                       "not 0 to 3",
		`{"version":1,"phase":"Migrating","manual":true}`:                       "always FallenBack",
		`{"version":1,"phase":"Migrating","evidence":{"failures":-1}}`:          "negative",
		`{"version":1,"phase":"Migrating","since":"0001-01-01T00:00:00+09:00"}`: "outside the years",
	} {
		state, err := fallback.DecodeState([]byte(text))
		require.ErrorContains(t, err, says)
		require.ErrorContains(t, err, "starting as Migrating")
		require.Equal(t, fallback.State{Phase: status.Migrating}, state)
	}
}

func FuzzDecodeState(f *testing.F) {
	f.Add([]byte(`{"version":1,"phase":"FallenBack","since":"2026-03-01T00:00:00Z","until":"2026-03-01T00:05:00Z","code":"failures","evidence":{"failures":5,"request_ids":["a"]}}`))
	f.Add([]byte(`{"version":1,"phase":"Recovering","until":"9998-12-31T23:59:59-14:00","doublings":3}`))
	f.Add([]byte(`{"version":1,"phase":"FallenBack","manual":true}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		state, err := fallback.DecodeState(text)
		if err != nil {
			require.Equal(t, fallback.State{Phase: status.Migrating}, state)
			return
		}
		encoded, err := fallback.EncodeState(state)
		require.NoError(t, err)
		again, err := fallback.DecodeState(encoded)
		require.NoError(t, err)
		require.Equal(t, state, again)
		next, _ := fallback.Step(config, state, failing, start)
		require.LessOrEqual(t, next.Until.Sub(start), config.HoldOff(3))
	})
}

package fallback_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

var (
	start   = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	config  = fallback.Config{Enabled: true, MaxFailures: 5, Window: time.Minute, RecoveryTime: 5 * time.Minute, OnStatus: []int{502, 503, 504}}
	probed  = with(func(c *fallback.Config) { c.Probed = true })
	failing = fallback.Sample{Failing: true, Evidence: fallback.Evidence{Failures: 5, Requests: 9, Window: time.Minute}}
	healthy = fallback.Sample{Probes: fallback.Probes{New: fallback.Healthy}}
	sick    = fallback.Sample{Probes: fallback.Probes{New: fallback.Unhealthy, Error: "connect: refused"}}
	trip    = fallback.Sample{Command: fallback.Trip, By: "ada"}
	cleared = fallback.Sample{Command: fallback.Clear, By: "ada"}
)

func with(change func(*fallback.Config)) fallback.Config {
	c := config
	change(&c)
	return c
}

func oldDown(in fallback.Sample) fallback.Sample {
	in.Probes.OldDown = true
	return in
}

// in gives a state that began at start.
func in(phase status.Phase, doublings int, lasts time.Duration) fallback.State {
	s := fallback.State{Phase: phase, Since: start, Doublings: doublings}
	if lasts > 0 {
		s.Until = start.Add(lasts)
	}
	return s
}

var (
	normal  = fallback.State{Phase: status.Migrating}
	fallen  = in(status.FallenBack, 0, 5*time.Minute)
	trial   = in(status.Recovering, 1, time.Minute)
	fragile = in(status.Migrating, 1, 10*time.Minute)
	manual  = fallback.State{Phase: status.FallenBack, Since: start, Manual: true}
	held    = fallback.State{Phase: status.Migrating, Held: true}
	idle    = with(func(c *fallback.Config) { c.Idle = true })
	off     = with(func(c *fallback.Config) { c.Enabled = false })
)

// arrow is one step, and what becomes of the state.
type arrow struct {
	name      string
	config    fallback.Config
	from      fallback.State
	sample    fallback.Sample
	after     time.Duration
	to        status.Phase
	cause     fallback.Cause
	doublings int
	lasts     time.Duration // of the new phase, from start
}

var arrows = []arrow{
	{"normal, nothing known", config, normal, fallback.Sample{}, 0, status.Migrating, "", 0, 0},
	{"normal, failing", config, normal, failing, 0, status.FallenBack, fallback.ByFailures, 0, 5 * time.Minute},
	{"normal, sick, probed", probed, normal, sick, 0, status.FallenBack, fallback.ByProbes, 0, 5 * time.Minute},
	{"normal, a late word of a probe", config, normal, sick, 0, status.Migrating, "", 0, 0},
	{"normal, failing, old down", config, normal, oldDown(failing), 0, status.Migrating, fallback.HeldBack, 0, 0},
	{"held, still", config, held, oldDown(failing), time.Second, status.Migrating, "", 0, 0},
	{"held, old is back", config, held, failing, time.Second, status.FallenBack, fallback.ByFailures, 0, 5*time.Minute + time.Second},
	{"normal, sick, old down", probed, normal, oldDown(sick), 0, status.Migrating, fallback.HeldBack, 0, 0},
	{"normal, failing, idle", idle, normal, failing, 0, status.Migrating, "", 0, 0},
	{"normal, failing, fallback off", off, normal, failing, 0, status.Migrating, "", 0, 0},
	{"fragile, failing", config, fragile, failing, 9 * time.Minute, status.FallenBack, fallback.ByFailures, 2, 29 * time.Minute},
	{"fragile, calm and at that moment failing", config, fragile, failing, 10 * time.Minute, status.FallenBack, fallback.ByFailures, 0, 15 * time.Minute},
	{"fragile, not calm yet", config, fragile, fallback.Sample{}, 9 * time.Minute, status.Migrating, "", 1, 10 * time.Minute},
	{"fragile, calm", config, fragile, fallback.Sample{}, 10 * time.Minute, status.Migrating, "", 0, 0},
	{"fallen, hold-off runs", config, fallen, healthy, 4 * time.Minute, status.FallenBack, "", 0, 5 * time.Minute},
	{"fallen, failing goes on", config, fallen, failing, 4 * time.Minute, status.FallenBack, "", 0, 5 * time.Minute},
	{"fallen, hold-off over, no probe yet", config, fallen, fallback.Sample{}, 6 * time.Minute, status.FallenBack, "", 0, 5 * time.Minute},
	{"fallen, hold-off over, sick", probed, fallen, sick, 6 * time.Minute, status.FallenBack, "", 0, 5 * time.Minute},
	{"fallen, hold-off over, healthy", config, fallen, healthy, 5 * time.Minute, status.Recovering, fallback.RecoveryStarted, 0, 6 * time.Minute},
	{"fallen, both down", probed, fallen, oldDown(sick), 6 * time.Minute, status.FallenBack, "", 0, 5 * time.Minute},
	{"fallen, idle", idle, fallen, failing, time.Second, status.Migrating, fallback.UserEdited, 0, 0},
	{"fallen, fallback off", off, fallen, failing, time.Second, status.Migrating, fallback.UserEdited, 0, 0},
	{"trial runs", config, trial, fallback.Sample{}, 59 * time.Second, status.Recovering, "", 1, time.Minute},
	{"trial passed", config, trial, fallback.Sample{}, time.Minute, status.Migrating, fallback.Recovered, 1, 11 * time.Minute},
	{"trial, failing", config, trial, failing, time.Second, status.FallenBack, fallback.ByFailures, 2, 20*time.Minute + time.Second},
	{"trial, failing, the last doubling", config, in(status.Recovering, 3, time.Minute), failing, 0, status.FallenBack, fallback.ByFailures, 3, 40 * time.Minute},
	{"trial over, and at that moment failing", config, trial, failing, time.Minute, status.FallenBack, fallback.ByFailures, 2, 21 * time.Minute},
	{"trial, sick", probed, trial, sick, time.Second, status.FallenBack, fallback.ByProbes, 2, 20*time.Minute + time.Second},
	{"trial, failing, old down", config, trial, oldDown(failing), time.Second, status.Recovering, fallback.HeldBack, 1, time.Minute},
	{"trial, idle", idle, trial, failing, 0, status.Migrating, fallback.UserEdited, 0, 0},
	{"trial, fallback off", off, trial, failing, 0, status.Migrating, fallback.UserEdited, 0, 0},
	{"operator trips", config, normal, trip, 0, status.FallenBack, fallback.ByOperator, 0, 0},
	{"operator trips onto old that is down", config, normal, oldDown(trip), 0, status.FallenBack, fallback.ByOperator, 0, 0},
	{"operator trips, fallback off", off, normal, trip, 0, status.FallenBack, fallback.ByOperator, 0, 0},
	{"operator trips what is idle", idle, normal, trip, 0, status.Migrating, "", 0, 0},
	{"operator takes over", config, fallen, trip, 0, status.FallenBack, fallback.ByOperator, 0, 0},
	{"operator trips in a trial", config, trial, trip, 0, status.FallenBack, fallback.ByOperator, 0, 0},
	{"operator trips twice", config, manual, trip, 0, status.FallenBack, "", 0, 0},
	{"manual does not end by itself", config, manual, healthy, 48 * time.Hour, status.FallenBack, "", 0, 0},
	{"manual, fallback off", off, manual, healthy, time.Hour, status.FallenBack, "", 0, 0},
	{"manual, idle", idle, manual, healthy, time.Hour, status.Migrating, fallback.UserEdited, 0, 0},
	{"operator clears", config, fallen, cleared, time.Second, status.Migrating, fallback.OperatorCleared, 0, 0},
	{"operator clears by hand", config, manual, cleared, time.Second, status.Migrating, fallback.OperatorCleared, 0, 0},
	{"operator clears a trial", config, trial, cleared, time.Second, status.Migrating, fallback.OperatorCleared, 0, 0},
	{"operator clears what is clear", config, normal, cleared, time.Second, status.Migrating, "", 0, 0},
}

// TestArrows has a line for each arrow of the package's table, and for those
// that must not be there.
func TestArrows(t *testing.T) {
	t.Parallel()
	for _, c := range arrows {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, transition := fallback.Step(c.config, c.from, c.sample, start.Add(c.after))
			require.Equal(t, c.to, got.Phase)
			require.Equal(t, c.cause, transition.Cause)
			require.Equal(t, c.doublings, got.Doublings)
			want := in(c.to, 0, c.lasts).Until
			require.Equal(t, want, got.Until)
			if transition.Happened() {
				require.Equal(t, c.from.Phase, transition.From)
				require.Equal(t, got.Phase, transition.To)
				require.NotEmpty(t, transition.Reason())
				require.Equal(t, c.sample.By, transition.Evidence.By)
			}
			again, second := fallback.Step(c.config, got, c.sample, start.Add(c.after))
			require.False(t, second.Happened() && second.Cause == transition.Cause, "the same sample is not news twice")
			_ = again
		})
	}
}

func TestHeldEndsWithItsCause(t *testing.T) {
	t.Parallel()
	s, _ := fallback.Step(config, fallback.State{}, oldDown(failing), start)
	require.True(t, s.Held)
	s, transition := fallback.Step(config, s, oldDown(fallback.Sample{}), start)
	require.False(t, s.Held)
	require.False(t, transition.Happened())
}

// TestClockJumps: however far the clock goes, no wait is longer than its
// phase, and a trip never ends without a probe.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	fallen := in(status.FallenBack, 1, 10*time.Minute)
	back := start.Add(-24 * time.Hour)
	s, _ := fallback.Step(config, fallen, fallback.Sample{}, back)
	require.Equal(t, back.Add(10*time.Minute), s.Until)
	require.False(t, s.Since.After(back))

	s, transition := fallback.Step(config, fallen, fallback.Sample{}, start.Add(24*365*time.Hour))
	require.True(t, s.Tripped())
	require.False(t, transition.Happened())

	trial := in(status.Recovering, 1, time.Minute)
	s, _ = fallback.Step(config, trial, fallback.Sample{}, back)
	require.Equal(t, back.Add(time.Minute), s.Until)
}

func TestShortenedRecoveryTimeActsOnTheHoldOffThatRuns(t *testing.T) {
	t.Parallel()
	short := with(func(c *fallback.Config) { c.RecoveryTime = 10 * time.Second })
	s, _ := fallback.Step(short, in(status.FallenBack, 0, 5*time.Minute), fallback.Sample{}, start)
	require.Equal(t, start.Add(10*time.Second), s.Until)
	long := with(func(c *fallback.Config) { c.RecoveryTime = time.Hour })
	s, _ = fallback.Step(long, in(status.FallenBack, 0, 5*time.Minute), fallback.Sample{}, start)
	require.Equal(t, start.Add(5*time.Minute), s.Until)
}

func TestHoldOffDoesNotOverflow(t *testing.T) {
	t.Parallel()
	forever := with(func(c *fallback.Config) { c.RecoveryTime = 1<<63 - 1 })
	require.Positive(t, forever.HoldOff(3))
	require.Equal(t, config.HoldOff(3), config.HoldOff(99))
}

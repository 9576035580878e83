package fallback_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

var (
	good    = fallback.Outcome{Finished: true, Status: 200}
	refused = fallback.Outcome{Finished: true, Failure: fallback.FailureConnect, Status: 502}
	busy    = fallback.Outcome{Finished: true, Failure: fallback.FailureStatus, Status: 503}
)

func TestJudge(t *testing.T) {
	t.Parallel()
	cases := []struct {
		outcome fallback.Outcome
		failure fallback.Failure
		counts  bool
	}{
		{good, "", true},
		{refused, fallback.FailureConnect, true},
		{fallback.Outcome{Finished: true, Failure: fallback.FailureTLS}, fallback.FailureTLS, true},
		{fallback.Outcome{Finished: true, Failure: fallback.FailureTimeout, Status: 504}, fallback.FailureTimeout, true},
		{fallback.Outcome{Finished: true, Failure: fallback.FailureReset, Status: 502}, fallback.FailureReset, true},
		{busy, fallback.FailureStatus, true},
		{fallback.Outcome{Finished: true, Failure: fallback.FailureStatus, Status: fallback.StatusLoopDetected}, fallback.FailureStatus, true}, // never listed
		{fallback.Outcome{Finished: true, Failure: fallback.FailureStatus, Status: 500}, "", true},                                             // not listed
		{fallback.Outcome{Finished: true, Status: 429}, fallback.FailureStatus, true},                                                          // listed
		{fallback.Outcome{Finished: true, Status: 499}, "", false},
		{fallback.Outcome{Failure: fallback.FailureTimeout}, "", false},
		{fallback.Outcome{}, "", false},
	}
	for _, c := range cases {
		failure, counts := fallback.Judge(c.outcome, []int{429, 502, 503, 504})
		require.Equal(t, c.failure, failure, "%+v", c.outcome)
		require.Equal(t, c.counts, counts, "%+v", c.outcome)
	}
}

// TestWorkedExample is the one in the package's documentation.
func TestWorkedExample(t *testing.T) {
	t.Parallel()
	m := fallback.New(config, fallback.State{})
	clock := func(text string) time.Time {
		at, err := time.Parse("15:04:05", text)
		require.NoError(t, err)
		return start.Add(time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute + time.Duration(at.Second())*time.Second)
	}
	fails := func(text string) (last fallback.Transition) {
		for i := range 5 {
			require.False(t, m.State().Tripped())
			last = m.Request(busy, fmt.Appendf(nil, "r%d", i), clock(text))
		}
		return last
	}
	expect := func(phase status.Phase, until string) {
		require.Equal(t, phase, m.State().Phase)
		require.Equal(t, clock(until), m.State().Until)
	}
	passes := fallback.Probes{New: fallback.Healthy}
	none := fallback.Probes{}

	tripped := fails("00:00:00")
	require.Equal(t, "5 of 5 requests to new failed within 1m0s, last: status 503, requests r0, r1, r2, r3, r4; held off for 5m0s", tripped.Reason())
	expect(status.FallenBack, "00:05:00")
	m.Tick(none, clock("00:05:00"))
	require.True(t, m.State().WantsProbes(clock("00:05:00")))
	m.Tick(passes, clock("00:05:00"))
	expect(status.Recovering, "00:06:00")
	fails("00:05:20")
	expect(status.FallenBack, "00:15:20")
	m.Tick(fallback.Probes{New: fallback.Unhealthy}, clock("00:15:20"))
	expect(status.FallenBack, "00:15:20")
	m.Tick(passes, clock("00:18:00"))
	expect(status.Recovering, "00:19:00")
	m.Tick(none, clock("00:19:00"))
	expect(status.Migrating, "00:29:00")
	fails("00:27:00")
	expect(status.FallenBack, "00:47:00")
}

// TestFlapping: a new that fails as soon as it gets traffic is tried less and
// less often, and at least every eight recovery_times.
func TestFlapping(t *testing.T) {
	t.Parallel()
	m := fallback.New(config, fallback.State{})
	var holdOffs []time.Duration
	for now := start; now.Before(start.Add(4 * time.Hour)); now = now.Add(time.Second) {
		m.Tick(fallback.Probes{New: fallback.Healthy}, now)
		for range 10 {
			if tr := m.Request(refused, nil, now); tr.Happened() {
				holdOffs = append(holdOffs, tr.Until.Sub(tr.At))
			}
		}
	}
	minutes := []time.Duration{5, 10, 20, 40, 40, 40, 40, 40, 40}
	for i := range minutes {
		minutes[i] *= time.Minute
	}
	require.Equal(t, minutes, holdOffs)
}

// TestRatio: at any load, one failure in a thousand is not 5 %, and one in ten is.
func TestRatio(t *testing.T) {
	t.Parallel()
	ratio := with(func(c *fallback.Config) { c.Ratio = 0.05 })
	for _, perSecond := range []int{1, 10, 1000, 20000} {
		for one, trips := range map[int]bool{1000: false, 10: true} {
			m := fallback.New(ratio, fallback.State{})
			for i := range 20000 {
				outcome := good
				if i%one == one-1 {
					outcome = busy
				}
				m.Request(outcome, nil, start.Add(time.Duration(i)*time.Second/time.Duration(perSecond)))
			}
			require.Equal(t, trips, m.State().Tripped(), "%d requests a second, one in %d fails", perSecond, one)
		}
	}
}

func TestConfigureForgetsCountsOfOtherRules(t *testing.T) {
	t.Parallel()
	m := fallback.New(config, fallback.State{})
	for range 4 {
		m.Request(busy, nil, start)
	}
	three := with(func(c *fallback.Config) { c.MaxFailures = 3 })
	require.False(t, m.Configure(three, start).Happened())
	for range 2 {
		require.False(t, m.Request(busy, nil, start).Happened())
	}
	require.True(t, m.Request(busy, nil, start).Happened())
	off := with(func(c *fallback.Config) { c.MaxFailures, c.Idle = 3, true })
	require.Equal(t, fallback.UserEdited, m.Configure(off, start).Cause)
	require.False(t, m.Request(busy, nil, start).Happened())
}

// TestAnEditToZeroForgetsFailures: what failed before an edit took the service
// off new is no reason to trip when it is on new again.
func TestAnEditToZeroForgetsFailures(t *testing.T) {
	t.Parallel()
	for name, off := range map[string]func(*fallback.Config){
		"at 0 %":           func(c *fallback.Config) { c.Idle = true },
		"without fallback": func(c *fallback.Config) { c.Enabled = false },
	} {
		m := fallback.New(config, fallback.State{})
		for range config.MaxFailures - 1 {
			m.Request(busy, nil, start)
		}
		edited := config
		off(&edited)
		m.Configure(edited, start.Add(time.Second))
		m.Configure(config, start.Add(2*time.Second))
		m.Request(busy, nil, start.Add(3*time.Second))
		require.False(t, m.State().Tripped(), name)
	}
}

// TestRestart: neither forgotten nor started by it.
func TestRestart(t *testing.T) {
	t.Parallel()
	m := fallback.New(config, fallback.State{})
	for range 4 {
		m.Request(busy, nil, start)
	}
	m = restart(t, m)
	require.False(t, m.Tick(fallback.Probes{}, start).Happened())
	for range 5 {
		m.Request(busy, []byte("broken \xff id"), start)
	}
	m = restart(t, m)
	later := start.Add(4 * time.Minute)
	require.False(t, m.Tick(fallback.Probes{New: fallback.Healthy}, later).Happened())
	require.True(t, m.State().Tripped())
	require.Equal(t, start.Add(5*time.Minute), m.State().Until)
	require.Contains(t, m.State().Reason(), "5 of 5 requests to new failed")
}

// TestRestartKeepsWhatIsOdd: the clock that programs have, and texts that are
// long, cut within a letter or no text at all. Of each at most 256 bytes are kept.
func TestRestartKeepsWhatIsOdd(t *testing.T) {
	t.Parallel()
	for text, kept := range map[string]int{strings.Repeat("x", 1000): 256, "x" + strings.Repeat("é", 500): 255, strings.Repeat("\xff\xfe-", 400): 256} {
		m := fallback.New(config, fallback.State{})
		now := time.Now()
		m.Tick(fallback.Probes{Error: text}, now)
		for range 5 {
			m.Request(busy, []byte(text), now)
		}
		require.True(t, m.State().Tripped())
		require.Len(t, m.State().Evidence.RequestIDs, fallback.MaxRequestIDs)
		require.Len(t, m.State().Evidence.RequestIDs[0], kept)
		restart(t, m)
		m.Command(fallback.Trip, text, now)
		require.Len(t, m.State().Evidence.By, kept)
		require.True(t, restart(t, m).State().Manual)
	}
}

func restart(t *testing.T, m *fallback.Machine) *fallback.Machine {
	t.Helper()
	text, err := fallback.EncodeState(m.State())
	require.NoError(t, err)
	state, err := fallback.DecodeState(text)
	require.NoError(t, err)
	require.Equal(t, m.State(), state)
	return fallback.New(config, state)
}

// TestUnfinishedIsNobodysFailure: clients that leave never trip anything.
func TestUnfinishedIsNobodysFailure(t *testing.T) {
	t.Parallel()
	m := fallback.New(config, fallback.State{})
	for range 100 {
		m.Request(fallback.Outcome{Failure: fallback.FailureTimeout, Status: 499}, nil, start)
	}
	require.Equal(t, status.Migrating, m.State().Phase)
}

// TestLateNewsDoNotLengthenATrip: requests that were under way when the
// service was tripped fail later, and are not counted against the recovery.
func TestLateNewsDoNotLengthenATrip(t *testing.T) {
	t.Parallel()
	m := fallback.New(config, fallback.State{})
	for range 200 {
		m.Request(busy, nil, start)
	}
	now := start.Add(5 * time.Minute)
	require.Equal(t, fallback.RecoveryStarted, m.Tick(fallback.Probes{New: fallback.Healthy}, now).Cause)
	for range 4 {
		require.False(t, m.Request(busy, nil, now).Happened())
	}
	require.Equal(t, fallback.ByFailures, m.Request(busy, nil, now).Cause)
}

// TestPhasesCountFromZero, also when the hold-off is shorter than the window.
func TestPhasesCountFromZero(t *testing.T) {
	t.Parallel()
	short := with(func(c *fallback.Config) { c.RecoveryTime = time.Second })
	m := fallback.New(short, fallback.State{})
	for range 5 {
		m.Request(busy, nil, start)
	}
	now := start.Add(2 * time.Second)
	require.Equal(t, fallback.RecoveryStarted, m.Tick(fallback.Probes{New: fallback.Healthy}, now).Cause)
	require.False(t, m.Request(busy, nil, now).Happened())
}

// TestProbesOfTheLastRecoveryDoNotCount for a service that is probed on demand.
func TestProbesOfTheLastRecoveryDoNotCount(t *testing.T) {
	t.Parallel()
	m := fallback.New(config, fallback.State{})
	for range 5 {
		m.Request(busy, nil, start)
	}
	now := start.Add(5 * time.Minute)
	m.Tick(fallback.Probes{New: fallback.Healthy}, now)
	for range 5 {
		m.Request(busy, nil, now)
	}
	require.True(t, m.State().Tripped())
	require.False(t, m.Configure(config, now.Add(time.Hour)).Happened())
}

// TestRatioIsOfTheWindow: requests before it count for nothing, those within
// it for all.
func TestRatioIsOfTheWindow(t *testing.T) {
	t.Parallel()
	half := with(func(c *fallback.Config) { c.Ratio = 0.5 })
	for goodOnes, trips := range map[int]bool{0: true, 5: true, 6: false} {
		m := fallback.New(half, fallback.State{})
		for i := range 10 * time.Minute / time.Second {
			m.Request(good, nil, start.Add(i*time.Second))
		}
		now := start.Add(11 * time.Minute)
		for range goodOnes {
			m.Request(good, nil, now)
		}
		for range 5 {
			m.Request(busy, nil, now)
		}
		require.Equal(t, trips, m.State().Tripped(), "%d good, 5 bad", goodOnes)
	}
}

func BenchmarkRequest(b *testing.B) {
	m := fallback.New(config, fallback.State{})
	now := time.Now()
	for b.Loop() {
		m.Request(good, nil, now)
	}
}

// TestABrokenAnswerIsAFailureButNoRequest: the log tells of it as of a success.
func TestABrokenAnswerIsAFailureButNoRequest(t *testing.T) {
	t.Parallel()
	m := fallback.New(config, fallback.State{})
	for i := range config.MaxFailures {
		require.False(t, m.State().Tripped())
		m.Request(good, []byte("id"), start)
		broken := m.BrokenAnswer(fallback.FailureReset, "recv() failed", start)
		require.Equal(t, i == config.MaxFailures-1, broken.Happened())
	}
	e := m.State().Evidence
	require.Equal(t, config.MaxFailures, e.Requests)
	require.Equal(t, config.MaxFailures, e.Failures)
	require.Contains(t, m.State().Reason(), "last: reset (recv() failed)")
	require.False(t, m.BrokenAnswer(fallback.FailureReset, "", start).Happened(), "late news")
}

func TestBrokenAnswersObeyTheRatio(t *testing.T) {
	t.Parallel()
	c := config
	c.Ratio = 0.05
	m := fallback.New(c, fallback.State{})
	for range 1000 {
		m.Request(good, nil, start)
	}
	for range 49 {
		m.BrokenAnswer(fallback.FailureTimeout, "", start)
	}
	require.False(t, m.State().Tripped(), "49 of 1000")
	require.True(t, m.BrokenAnswer(fallback.FailureTimeout, "", start).Happened(), "50 of 1000")
}

// TestAnExplanationImprovesTheEvidence, before the trip and just after it.
func TestAnExplanationImprovesTheEvidence(t *testing.T) {
	t.Parallel()
	const words = "upstream SSL certificate verify error: (10:certificate has expired)"
	fail := func(m *fallback.Machine, times int) {
		for range times {
			m.Request(refused, nil, start)
		}
	}
	after := fallback.New(config, fallback.State{})
	fail(after, config.MaxFailures)
	require.Contains(t, after.State().Reason(), "last: connect")
	require.False(t, after.Explain(fallback.FailureTLS, words, start.Add(time.Minute)), "of something else")
	require.True(t, after.Explain(fallback.FailureTLS, words, start.Add(time.Millisecond)))
	require.Contains(t, after.State().Reason(), "last: tls ("+words+")")
	require.False(t, after.Explain(fallback.FailureTLS, words, start.Add(time.Millisecond)), "once")

	before := fallback.New(config, fallback.State{})
	fail(before, config.MaxFailures-1)
	require.False(t, before.Explain(fallback.FailureTLS, words, start))
	fail(before, 1)
	require.Contains(t, before.State().Reason(), "last: connect", "the last failure has its own cause")
	require.True(t, before.Explain(fallback.FailureTLS, words, start))

	other := fallback.New(config, fallback.State{})
	for range config.MaxFailures {
		other.Request(busy, nil, start)
	}
	require.False(t, other.Explain(fallback.FailureTLS, words, start), "a status needs no explanation")
}

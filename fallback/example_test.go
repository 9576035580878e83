package fallback_test

import (
	"fmt"
	"time"

	"github.com/migration-proxy/migration-proxy/fallback"
)

// The first recovery of a service that fails again soon doubles the hold-off.
func ExampleStep() {
	config := fallback.Config{Enabled: true, MaxFailures: 5, Window: time.Minute, RecoveryTime: 5 * time.Minute}
	clock := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	failing := fallback.Sample{Failing: true, Evidence: fallback.Evidence{
		Failures: 5, Requests: 40, Window: time.Minute, LastFailure: fallback.FailureStatus, LastStatus: 503,
	}}
	healthy := fallback.Sample{Probes: fallback.Probes{New: fallback.Healthy}}

	var state fallback.State
	for _, moment := range []struct {
		after  time.Duration
		sample fallback.Sample
	}{
		{0, failing},
		{time.Minute, healthy}, // the hold-off has not passed
		{5 * time.Minute, healthy},
		{5*time.Minute + 20*time.Second, failing},
	} {
		var transition fallback.Transition
		state, transition = fallback.Step(config, state, moment.sample, clock.Add(moment.after))
		fmt.Printf("%s %s, doublings %d, transition %q\n", clock.Add(moment.after).Format(time.TimeOnly), state.Phase, state.Doublings, transition.Cause)
	}
	// Output:
	// 12:00:00 FallenBack, doublings 0, transition "failures"
	// 12:01:00 FallenBack, doublings 0, transition ""
	// 12:05:00 Recovering, doublings 0, transition "recovery_started"
	// 12:05:20 FallenBack, doublings 1, transition "failures"
}

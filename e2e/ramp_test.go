package e2e

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/e2e/wire"
	"github.com/migration-proxy/migration-proxy/e2e/world"
)

// fastRamp is a ramp whose steps last as long as the watcher needs to look twice. On a
// busy machine only failures say something about new, so slowness is left out.
const fastRamp = "  ramp: {steps: [20, 60, 99], hold: 1s, judge: {min_requests: 50, max_extra: 20, slow: {allow: 10s}}, back: {every: 1s}}"

// TestRamp lets a share rise by itself, under load. New gets worse, a person lowers the
// percentage, the service falls back, and in the end all is on new. No request fails.
func TestRamp(t *testing.T) {
	t.Parallel()
	s := cluster.NewApp(t)
	s.Ingress("shop")
	s.Configure(100, fastRamp, "fallback: {failure_ratio: 0.9, recovery_time: 3}")
	s.OptIn("shop")
	s.WaitForPhase("shop", migrating)
	stream := s.Stream(func(load *wire.Load) { load.Rate = 200 })
	s.WaitForPosition(s.Service, 20)
	s.WaitForSplit(20)
	s.WaitForPosition(s.Service, 60)

	s.Fail(world.New, wire.Outage{Mode: wire.Status, Status: http.StatusServiceUnavailable, Every: 5})
	s.WaitForPosition(s.Service, 20)
	require.NoError(t, world.InPhase(migrating)(s.GetIngress("shop")), "new is worse than old, and no failure for the fallback")
	s.WaitForEvent(t, world.Namespace, "ConfigMap", "RampReturned", s.Service)

	s.Proxy(t, "update", s.Service, "10")
	s.WaitForPosition(s.Service, 10)
	s.WaitForSplit(10)
	s.Fail(world.New, wire.Outage{})
	s.Proxy(t, "update", s.Service, "100")
	s.WaitForPosition(s.Service, 20)

	s.Fail(world.New, wire.Outage{Mode: wire.Refuse})
	s.WaitForPhase("shop", fallenBack)
	s.WaitForSplit(0)
	s.Fail(world.New, wire.Outage{})
	s.WaitForPhase("shop", migrating)

	s.Proxy(t, "wait", s.Service, "--for", "done", "--timeout", "5m")
	s.WaitForSplit(99)
	stream.StopWithoutLoss()
}

// rampStates has a ramp that comes into each state, and what the leader then wrote. A
// person commands those that would need evidence for it, so that no traffic is needed.
var rampStates = map[string]struct {
	ramp, first, then string // the ramp, and commands at 20 % and above
	want              world.Ramp
}{
	"measuring": {"steps: [20, 60], hold: 1h", "", "", world.Ramp{Phase: "measuring", Position: 2000}},
	"asking":    {"steps: [20, {to: 60, ask: true}], hold: 1s, no_data: 1s", "", "", world.Ramp{Phase: "waiting", Reason: "ask", Position: 2000}},
	"held":      {"steps: [20, 60], hold: 1h", "hold", "", world.Ramp{Phase: "waiting", Reason: "held", Position: 2000}},
	"returning": {"steps: [20, 60], hold: 1h, back: {by: 1, every: 1s}", "skip", "back", world.Ramp{Phase: "returning"}},
	"cooling":   {"steps: [20, 60], hold: 1h, back: {by: 100}", "skip", "back", world.Ramp{Phase: "cooling", Position: 2000}},
	"done":      {"steps: [20], hold: 1s", "", "", world.Ramp{Phase: "done", Position: 2000}},
}

// TestRampInEachState has two services in each state of a ramp: one under load, and one at
// night, without a request. Then the leader is killed, the ceiling is raised, and nothing
// changes. A percentage below the position wins at once, and so do off and 0. No request
// fails.
func TestRampInEachState(t *testing.T) {
	t.Parallel()
	s := cluster.NewApp(t)
	day, night := s.Service+"-day-", s.Service+"-night-"
	texts := map[string]string{}
	for state, one := range rampStates {
		for _, name := range []string{day + state, night + state} {
			texts[name] = s.TextOf(name, hostOf(name), 70, fmt.Sprintf("  ramp: {judge: {slow: {allow: 10s}}, %s}", one.ramp), "fallback: {recovery_time: 600}")
		}
	}
	s.ConfigureAll(texts)
	streams := map[string]*world.Stream{}
	for state := range rampStates {
		s.Ingress(state, enabled, withPath("/", hostOf(day+state)))
	}
	for state := range rampStates {
		s.WaitForPhase(state, migrating)
		streams[state] = s.Stream(world.Host(hostOf(day+state)), func(load *wire.Load) { load.Connections, load.Rate = 1, 20 })
	}
	intoStates(s, day, night)
	before := inStates(s, day, night)

	cluster.KillLeader(t)
	s.CommandRamps(map[string]string{night + "held": "hold"}) // the next leader has made a step
	requireSame(t, before, inStates(s, day, night))
	setRamps(t, s, texts, "percentage: 70", "percentage: 100")
	s.CommandRamps(map[string]string{night + "held": "hold"})
	requireSame(t, before, inStates(s, day, night))

	days, nights := only(texts, day), only(texts, night)
	setRamps(t, s, days, "percentage: 100", "percentage: 10")
	setRamps(t, s, nights, "enabled: true", "enabled: false")
	waitForPositions(s, days, 1000, "")
	waitForPositions(s, nights, 0, "off")
	for state := range rampStates {
		s.WaitForSplit(10, world.Host(hostOf(day+state)))
	}
	setRamps(t, s, days, "percentage: 10 ", "percentage: 0 ")
	waitForPositions(s, days, 0, "off")
	for state, stream := range streams {
		s.WaitForSplit(0, world.Host(hostOf(day+state)))
		stream.StopWithoutLoss()
	}
}

func hostOf(service string) string { return service + ".example.com" }

// only are the services whose names begin with the prefix.
func only(texts map[string]string, prefix string) map[string]string {
	kept := maps.Clone(texts)
	maps.DeleteFunc(kept, func(name, _ string) bool { return !strings.HasPrefix(name, prefix) })
	return kept
}

// intoStates brings the ramps into their states.
func intoStates(s *world.App, prefixes ...string) {
	first, then := map[string]string{}, map[string]string{}
	all := map[string]string{}
	for state, one := range rampStates {
		for _, prefix := range prefixes {
			all[prefix+state] = ""
			if one.first != "" {
				first[prefix+state] = one.first
			}
			if one.then != "" {
				then[prefix+state] = one.then
			}
		}
	}
	waitForPositions(s, all, 2000, "")
	s.CommandRamps(first)
	s.CommandRamps(then)
}

// inStates waits until all ramps are in their states, and gives them by service.
func inStates(s *world.App, prefixes ...string) map[string]world.Ramp {
	found := map[string]world.Ramp{}
	s.WaitForRamps("a ramp in each state", func(ramps map[string]world.Ramp) error {
		var errs []error
		for state, one := range rampStates {
			for _, prefix := range prefixes {
				got := ramps[prefix+state]
				if found[prefix+state] = got; one.want.Position == 0 {
					got.Position, got.Settling = 0, false // it falls
				}
				if got.Settling || got.Phase != one.want.Phase || got.Reason != one.want.Reason || got.Position != one.want.Position {
					errs = append(errs, fmt.Errorf("%s%s is %+v", prefix, state, got))
				}
			}
		}
		return errors.Join(errs...)
	})
	return found
}

// requireSame: no ramp has moved meanwhile, but those that fall, which go on.
func requireSame(t *testing.T, before, after map[string]world.Ramp) {
	t.Helper()
	for name, was := range before {
		is := after[name]
		if was.Phase == "returning" {
			require.LessOrEqual(t, is.Position, was.Position, name)
			continue
		}
		require.True(t, was.StepSince.Equal(is.StepSince), "%s was %+v and is %+v", name, was, is)
	}
}

// setRamps changes the texts of services in the config, in one edit.
func setRamps(t *testing.T, s *world.App, texts map[string]string, old, new string) {
	t.Helper()
	for name, text := range texts {
		require.Contains(t, text, old)
		texts[name] = strings.Replace(text, old, new, 1)
	}
	s.ConfigureAll(texts)
}

// waitForPositions waits until the ramps of all services have a position, and a phase
// unless that is "".
func waitForPositions(s *world.App, services map[string]string, position int, phase string) {
	s.WaitForRamps(fmt.Sprintf("%d ramps at %d", len(services), position), func(ramps map[string]world.Ramp) error {
		for _, name := range slices.Sorted(maps.Keys(services)) {
			if got := ramps[name]; got.Position != position || phase != "" && got.Phase != phase {
				return fmt.Errorf("%s is %+v", name, got)
			}
		}
		return nil
	})
}

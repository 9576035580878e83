package watcher_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/ramp"
	"github.com/migration-proxy/migration-proxy/watcher/events"
)

// rampEnv has replicas that serve the positions which the API server has, and count
// requests as nginx would: each question for evidence is one slot of traffic.
type rampEnv struct {
	*testEnv
	mu       sync.Mutex
	services map[string]*rampService
	counters map[string]status.Evidence
}

type rampService struct {
	percentage float64
	steps      string
	failed     float64 // the part of new's requests that fails; old's is 0.5 %
	stuckAbove float64 // proxy-10.1.0.2 serves no more; 0: it serves the share
	known      float64 // the position that the replicas know
}

// newRampEnv has a service for each ramp.
func newRampEnv(t *testing.T, steps map[string]string) *rampEnv {
	t.Helper()
	env := &rampEnv{testEnv: newTestEnv(t, 2), counters: map[string]status.Evidence{}, services: map[string]*rampService{}}
	for name, one := range steps {
		env.services[name] = &rampService{percentage: 100, steps: one, failed: 0.005}
	}
	env.change(func(*rampService) {})
	return env
}

// change changes all services and writes the config.
func (env *rampEnv) change(one func(*rampService)) {
	env.Helper()
	text := "services:\n"
	env.mu.Lock()
	for name, s := range env.services {
		one(s)
		text += fmt.Sprintf("- {name: %[1]s, old_host: %[1]s.old.example, old_backend: '%[1]s.%[2]s.svc:80', new_host: n.example, "+
			"new_backend: 'n.example:443', fallback: {recovery_time: 2}, migration: {enabled: true, percentage: %[3]g, ramp: {hold: 1s, steps: %[4]s}}}\n",
			name, env.app, s.percentage, s.steps)
	}
	env.mu.Unlock()
	env.writeConfig(text)
}

// set changes a service without an edit of the config.
func (env *rampEnv) set(name string, change func(*rampService)) {
	env.mu.Lock()
	defer env.mu.Unlock()
	change(env.services[name])
}

// evidence is what a replica answers on /evidence.
func (env *rampEnv) evidence(ctx context.Context, endpoint kube.Endpoint) ([]byte, error) {
	found, err := env.client.CoreV1().ConfigMaps(env.home).Get(ctx, names.RampMap, metav1.GetOptions{})
	env.mu.Lock()
	defer env.mu.Unlock()
	if err == nil { // without an answer it keeps what it serves
		positions, _ := status.ParsePositions(found.Data)
		for name, s := range env.services {
			s.known = positions.Services[name].Share
		}
	}
	before := env.counters[endpoint.Pod]
	after := status.Evidence{StartedAt: time.Unix(1, 0), Services: map[string]status.ServiceEvidence{}}
	for name, s := range env.services {
		after.Services[name] = s.count(before.Services[name], endpoint.Pod)
	}
	env.counters[endpoint.Pod] = after
	return json.Marshal(after)
}

func (s *rampService) count(e status.ServiceEvidence, pod string) status.ServiceEvidence {
	const requests = 20_000
	e.Share = min(s.percentage, s.known)
	if s.stuckAbove > 0 && pod == "proxy-10.1.0.2" {
		e.Share = min(e.Share, s.stuckAbove)
	}
	toNew := uint64(requests * e.Share / 100)
	e.Old.Requests, e.Old.Failed = e.Old.Requests+requests-toNew, e.Old.Failed+(requests-toNew)/200
	e.New.Requests, e.New.Failed = e.New.Requests+toNew, e.New.Failed+uint64(float64(toNew)*s.failed)
	return e
}

func (env *rampEnv) start() (stop func()) {
	env.Helper()
	options := env.options()
	options.GetEvidence, options.RampInterval = env.evidence, 50*time.Millisecond
	_, stop = env.startWith(options)
	return stop
}

// stored are the position and the state of a service that the API server has.
func (env *rampEnv) stored(name string) (float64, ramp.State) {
	found, err := env.client.CoreV1().ConfigMaps(env.home).Get(env.Context(), names.RampMap, metav1.GetOptions{})
	if err != nil {
		return -1, ramp.State{}
	}
	positions, err := status.ParsePositions(found.Data)
	require.NoError(env, err)
	var states map[string]json.RawMessage
	require.NoError(env, json.Unmarshal([]byte(found.Data[status.MachineKey]), &states))
	state, err := ramp.DecodeState(states[name])
	if err != nil {
		return -1, ramp.State{}
	}
	require.InDelta(env, positions.Services[name].Share, state.Position.Percent(), 1e-9, "one write")
	return positions.Services[name].Share, state
}

// reach waits until a condition holds for a service.
func (env *rampEnv) reach(name string, holds func(share float64, state ramp.State) bool) ramp.State {
	env.Helper()
	var state ramp.State
	require.Eventually(env, func() bool {
		var at float64
		at, state = env.stored(name)
		return holds(at, state)
	}, maxWait, 30*time.Millisecond, "%s is at %+v", name, &state)
	return state
}

// until waits for a position and a phase.
func (env *rampEnv) until(name string, share float64, phase ramp.Phase) ramp.State {
	env.Helper()
	return env.reach(name, func(at float64, state ramp.State) bool { return at == share && state.Phase == phase })
}

func (env *rampEnv) command(service, id, verb string, share float64) {
	env.Helper()
	text, err := json.Marshal(status.Commands{Services: map[string]status.RampCommand{service: {ID: id, Verb: verb, Share: share, By: "alice", Reason: "ticket 7"}}})
	require.NoError(env, err)
	patch, err := json.Marshal(map[string]any{"data": map[string]string{status.CommandsKey: string(text)}})
	require.NoError(env, err)
	env.patchConfigMap(names.RampMap, string(patch))
}

func (env *rampEnv) eventTexts(reason string) []string {
	env.Helper()
	var texts []string
	for _, event := range env.events(env.home) {
		if event.Reason == reason {
			texts = append(texts, event.Note)
		}
	}
	return texts
}

// TestRampClimbsAndReturns: a good new climbs to the end, a bad one goes one step back
// with the evidence, and climbs again. Then the state is lost.
func TestRampClimbsAndReturns(t *testing.T) {
	env := newRampEnv(t, map[string]string{"api": "[1, 25, 99], back: {by: 100}"})
	stop := env.start()
	env.until("api", 99, ramp.Done)
	env.eventually(func() bool { return len(env.eventTexts(events.RampAdvanced)) == 3 }, "an Event for each step")
	env.set("api", func(s *rampService) { s.failed = 0.1 })
	env.reach("api", func(at float64, _ ramp.State) bool { return at == 25 })
	env.set("api", func(s *rampService) { s.failed = 0.005 })
	env.until("api", 99, ramp.Done)
	require.Contains(t, strings.Join(env.eventTexts(events.RampReturned), "\n"), "new is bad: ")
	require.Contains(t, strings.Join(env.eventTexts(events.RampReturned), "\n"), "times old's (")
	env.eventually(func() bool {
		found, err := env.client.CoreV1().ConfigMaps(env.home).Get(t.Context(), names.JournalMap, metav1.GetOptions{})
		return err == nil && strings.Contains(fmt.Sprint(found.Data), "ramp_advanced") && strings.Contains(fmt.Sprint(found.Data), "ramp_returned")
	}, "the journal has both")

	stop()
	env.putConfigMap(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: names.RampMap}, Data: map[string]string{
		status.PositionsKey: `{"services":{"api":{"share_percent":99}}}`, status.MachineKey: `{"api":{"version":99}}`,
	}})
	env.start()
	require.Contains(t, env.waitForEvent(env.home, names.ConfigMap, events.RampStateLost).Note, "begin at 0")
	env.until("api", 1, ramp.Measuring)
}

// TestRampInEachState has a service in each state of a ramp: the next leader goes on in
// each, and a lower percentage wins at once in each.
func TestRampInEachState(t *testing.T) {
	env := newRampEnv(t, map[string]string{
		"measuring": "[1, {to: 25, hold: 1h}, 99]", "waiting": "[1, 25, {to: 99, ask: true}]", "rising": "[1, 25, 99]",
		"returning": "[1, 99], back: {every: 1h}", "cooling": "[1, 15], back: {to: zero}", "done": "[1, 25, 99]",
	})
	env.set("rising", func(s *rampService) { s.stuckAbove = 1 })
	stop := env.start()
	env.until("returning", 99, ramp.Done)
	env.until("cooling", 15, ramp.Done)
	env.set("returning", func(s *rampService) { s.failed = 0.2 })
	before := map[string]ramp.State{
		"measuring": env.until("measuring", 25, ramp.Measuring), "waiting": env.until("waiting", 25, ramp.Waiting),
		"rising": env.until("rising", 25, ramp.Rising), "returning": env.until("returning", 79, ramp.Returning), "done": env.until("done", 99, ramp.Done),
	}
	env.set("cooling", func(s *rampService) { s.failed = 0.2 })
	before["cooling"] = env.until("cooling", 0, ramp.Cooling)
	stop()
	env.start()
	env.command("waiting", "9", "hold", 0) // the new leader leads
	env.reach("waiting", func(_ float64, state ramp.State) bool { return state.Command == "9" })
	for name, was := range before {
		at, now := env.stored(name)
		require.InDelta(t, was.Position.Percent(), at, 1e-9, name)
		if name != "waiting" && name != "cooling" {
			require.Equal(t, was.Phase, now.Phase, name)
			require.True(t, was.Since.Equal(now.Since), "%s: it goes on", name)
		}
	}
	require.Empty(t, env.eventTexts(events.RampStateLost))

	env.change(func(s *rampService) { s.percentage = 0.5 })
	for name := range before {
		env.reach(name, func(at float64, _ ramp.State) bool { return at <= 0.5 })
	}
	env.change(func(s *rampService) { s.percentage = 0 })
	for name := range before {
		env.until(name, 0, ramp.Off)
	}
}

// TestRampAPIServerAway: the position stays while the API server is away, and the ramp
// goes on afterwards, with what was measured meanwhile.
func TestRampAPIServerAway(t *testing.T) {
	env := newRampEnv(t, map[string]string{"api": "[1, {to: 25, ask: true}, 99]"})
	env.start()
	env.until("api", 1, ramp.Waiting)
	require.NoError(t, plane.StopAPIServer())
	env.set("api", func(s *rampService) { s.failed = 0.2 })
	asked := env.asked()
	env.eventually(func() bool { return env.asked() > asked+100_000 }, "evidence arrives")
	require.NoError(t, plane.StartAPIServer(t.Context()))
	env.reach("api", func(at float64, _ ramp.State) bool { return at == 0 })
	require.Empty(t, env.eventTexts(events.RampStateLost))
}

// asked is how many requests to old a replica has counted.
func (env *rampEnv) asked() uint64 {
	env.mu.Lock()
	defer env.mu.Unlock()
	return env.counters["proxy-10.1.0.1"].Services["api"].Old.Requests
}

// TestRampCommands: a person approves; a command for another position does nothing.
func TestRampCommands(t *testing.T) {
	env := newRampEnv(t, map[string]string{"api": "[1, {to: 25, ask: true}, 99], back: {by: 100}"})
	env.start()
	env.until("api", 1, ramp.Waiting)
	require.Contains(t, env.waitForEvent(env.home, names.ConfigMap, events.RampWaiting).Note, "ask: a person approves the step to 25")
	env.command("api", "1", "approve", 25)
	state := env.reach("api", func(_ float64, state ramp.State) bool { return state.Command == "1" })
	require.Equal(t, ramp.Waiting, state.Phase)
	env.command("api", "2", "approve", 1)
	env.until("api", 99, ramp.Done)
	env.eventually(func() bool {
		return strings.Contains(strings.Join(env.eventTexts(events.RampAdvanced), "\n"), "approved by alice")
	}, "who")
	env.command("api", "3", "back", 99)
	require.Equal(t, "alice", env.until("api", 25, ramp.Waiting).Held.By)
}

// TestRampNotWithoutEvidence: a replica that gives none stops the ramp.
func TestRampNotWithoutEvidence(t *testing.T) {
	env := newRampEnv(t, map[string]string{"api": "[1, 25]"})
	options := env.options()
	options.RampInterval = 50 * time.Millisecond
	options.GetEvidence = func(context.Context, kube.Endpoint) ([]byte, error) {
		return nil, errors.New("it answers 404 Not Found")
	}
	env.startWith(options)
	state := env.until("api", 0, ramp.Waiting)
	require.Equal(t, ramp.ReasonNotInSync, state.Reason)
	require.Contains(t, state.Detail, "proxy-10.1.0.1 gives no evidence: get the evidence of proxy-10.1.0.1: it answers 404 Not Found")
}

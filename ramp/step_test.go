package ramp_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/ramp"
)

// world is a service whose requests all have the same fate.
type world struct {
	t          *testing.T
	config     ramp.Config
	state      ramp.State
	now        time.Time
	old, new   float64 // the part that fails
	perSlot    float64
	replicas   map[string]float64 // the part of new's failures of each replica; nil: not known
	sample     ramp.Sample
	commanded  int
	lastChange ramp.Decision
}

func newWorld(t *testing.T, steps ...migration.Share) *world {
	t.Helper()
	return &world{t: t, config: configOf(rampTo(5*time.Minute, steps...), migration.FullShare), now: start, perSlot: 2000, old: 0.005, new: 0.005}
}

// tick makes one step.
func (w *world) tick() ramp.Decision {
	w.t.Helper()
	w.now = w.now.Add(tick)
	part := float64(w.state.Position) / float64(migration.FullShare)
	count := func(n, failed float64) ramp.Counts {
		return ramp.Counts{Requests: uint64(n), Failed: uint64(n*failed + 0.5)}
	}
	w.sample.Slot.Old, w.sample.Slot.New = count(w.perSlot*(1-part), w.old), count(w.perSlot*part, w.new)
	w.sample.Slot.Replicas = nil
	for name, part := range w.replicas {
		if w.sample.Slot.Replicas == nil {
			w.sample.Slot.Replicas = map[string]ramp.Counts{}
		}
		w.sample.Slot.Replicas[name] = ramp.Counts{
			Requests: w.sample.Slot.New.Requests / uint64(len(w.replicas)), Failed: uint64(float64(w.sample.Slot.New.Failed) * part),
		}
	}
	var d ramp.Decision
	w.state, d = ramp.Step(w.config, w.state, w.sample, w.now)
	if d.Transition {
		w.lastChange = d
	}
	return d
}

// until ticks until the phase and reason are reached, for at most an hour.
func (w *world) until(phase ramp.Phase, reason ramp.Reason) ramp.Decision {
	w.t.Helper()
	for range 360 {
		if d := w.tick(); d.Phase == phase && d.Reason == reason {
			return d
		}
	}
	require.Failf(w.t, "never reached", "%s %s: %+v", phase, reason, w.state)
	return ramp.Decision{}
}

func (w *world) command(verb ramp.Verb, position migration.Share) ramp.Decision {
	w.t.Helper()
	w.commanded++
	w.sample.Command = &ramp.Command{ID: string(rune('a' + w.commanded)), Verb: verb, Position: position, By: "alice", Reason: "ticket 7"}
	d := w.tick()
	w.sample.Command = nil
	return d
}

func TestClimb(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 100, 2500, 9900)
	require.Equal(t, ramp.Decision{From: 0, To: 100}.To, w.tick().To, "the first step needs no evidence")
	w.until(ramp.Rising, "")
	require.Equal(t, migration.Share(2500), w.state.Position)
	require.Contains(t, w.lastChange.Why, "of 600 requests, 5m of 5m, failures")
	w.until(ramp.Done, "")
	require.Equal(t, migration.Share(9900), w.state.Position)
	w.new = 0.05
	w.until(ramp.Returning, "")
	require.Contains(t, w.lastChange.Why, "new is bad: ")
}

// TestFallInPortions: 90 to 25 by 20 points; then cooling; the third time a person looks.
func TestFallInPortions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2500, 9000)
	for round, cooling := range []time.Duration{5 * time.Minute, 10 * time.Minute, 20 * time.Minute} {
		w.new = 0.005
		for w.state.Position != 9000 {
			w.tick()
		}
		w.new = 0.1
		w.until(ramp.Returning, "")
		w.new = 0.005
		var seen []migration.Share
		for w.state.Phase == ramp.Returning {
			seen = append(seen, w.state.Position)
			w.tick()
		}
		require.Equal(t, []migration.Share{7000, 5000, 3000}, seen)
		require.Equal(t, ramp.Cooling, w.state.Phase)
		require.Equal(t, migration.Share(2500), w.state.Position)
		require.Equal(t, w.now.Add(cooling), w.state.Until, "round %d", round)
	}
	d := w.until(ramp.Waiting, ramp.ReasonHeld)
	require.True(t, d.NeedsPerson)
	require.Equal(t, "held: new was bad 3 times at 90 %", d.Why)
	require.Equal(t, migration.Share(9000), w.command(ramp.Resume, 2500).To)
}

func TestBackToZero(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 100, 2500)
	w.config.Ramp.Back.ToZero = true
	for w.state.Position != 2500 {
		w.tick()
	}
	w.new = 0.1
	w.until(ramp.Cooling, "")
	require.Zero(t, w.state.Position)
}

func TestCeiling(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 100, 2500, 5000)
	w.config.Ceiling = 3000
	w.until(ramp.Waiting, ramp.ReasonCeiling)
	require.Equal(t, migration.Share(3000), w.state.Position, "between two steps")
	w.config.Ceiling = 700
	require.Equal(t, migration.Share(700), w.tick().To, "at once")
	w.config.Ceiling = 5000
	w.until(ramp.Done, "")
	w.config.Ceiling = 0
	require.Equal(t, ramp.Off, w.tick().Phase)
	require.Zero(t, w.state.Position)
}

func TestGates(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 100, 2500)
	w.config.Ramp.Steps[1].Ask = true
	w.config.Freeze = []migration.Freeze{{From: start.Add(time.Minute), Until: start.Add(time.Hour)}}
	w.config.Ramp.Only = &migration.Window{Days: 127, From: 14 * 60, To: 15 * 60}
	w.sample.Limits = map[migration.Name]migration.Share{"auth": 1000}
	w.until(ramp.Waiting, ramp.ReasonWindow) // before the first step: it is 12:00
	w.config.Ramp.Only = nil
	w.until(ramp.Waiting, ramp.ReasonFreeze)
	w.config.Freeze = nil
	require.Equal(t, "dependency: auth is at 10", w.until(ramp.Waiting, ramp.ReasonDependency).Why)
	w.sample.Limits = nil
	w.sample.Gates = []ramp.Gate{{Reason: ramp.ReasonCheck, Detail: "lag: 503"}}
	require.Equal(t, "check: lag: 503", w.until(ramp.Waiting, ramp.ReasonCheck).Why)
	w.sample.Gates = nil
	require.True(t, w.until(ramp.Waiting, ramp.ReasonAsk).NeedsPerson)
	require.Contains(t, w.command(ramp.Approve, 500).Refused, "it was typed for 5 %, and the ramp is at 1 %")
	d := w.command(ramp.Approve, 100)
	require.Equal(t, migration.Share(2500), d.To)
	require.Equal(t, "alice", d.By)
}

func TestCommands(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 100, 2500, 5000)
	w.tick()
	d := w.command(ramp.Skip, 100)
	require.Equal(t, migration.Share(2500), d.To)
	require.Equal(t, "skip by alice: ticket 7", d.Why)
	w.command(ramp.HoldOn, 0)
	require.Equal(t, "held: by alice: ticket 7", w.until(ramp.Waiting, ramp.ReasonHeld).Why)
	d = w.command(ramp.Back, 2500)
	for w.state.Position > 100 {
		w.tick()
	}
	require.Equal(t, ramp.Waiting, w.until(ramp.Waiting, ramp.ReasonHeld).Phase)
	require.Equal(t, "back by alice: ticket 7", d.Why)
	for w.command(ramp.Resume, 100); w.state.Position == 100; w.tick() {
		require.NotEqual(t, ramp.ReasonHeld, w.state.Reason)
	}
	require.Contains(t, w.command("jump", 2500).Refused, "is not a command")
}

func TestFallback(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 100, 2500, 5000)
	for w.state.Position != 5000 {
		w.tick()
	}
	w.sample.FallenBack = true
	w.until(ramp.Waiting, ramp.ReasonFallenBack)
	require.Equal(t, migration.Share(5000), w.state.Position)
	w.sample.FallenBack = false
	d := w.tick()
	require.Equal(t, migration.Share(2500), d.To)
	require.Equal(t, "the service had fallen back at 50 %", d.Why)
}

func TestNotInSync(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 100, 2500)
	w.tick()
	w.sample.Unserved = "pod a serves 0 %"
	w.until(ramp.Waiting, ramp.ReasonNotInSync)
	require.Zero(t, w.state.Evidence.New.Requests, "nothing counts before every replica serves it")
	w.sample.Unserved = ""
	w.until(ramp.Rising, "")
}

func TestOldIsIll(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 500, 2500)
	w.until(ramp.Measuring, "")
	w.old, w.new = 0.25, 0.25
	w.until(ramp.Waiting, ramp.ReasonOldIll)
	for range 360 {
		require.NotEqual(t, ramp.Rising, w.tick().Phase, "old at 25 % proves nothing good")
	}
	w.new = 1
	w.until(ramp.Cooling, "")
	require.Contains(t, w.lastChange.Why, "new is bad")
}

func TestOneBadReplica(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 500, 2500)
	w.perSlot = 20000
	w.until(ramp.Measuring, "")
	w.new, w.replicas = 0.1, map[string]float64{"pod-a": 0.95, "pod-b": 0.05}
	d := w.until(ramp.Waiting, ramp.ReasonReplica)
	require.Contains(t, d.Why, "pod-a has more than 80 % of new's failures")
	require.Equal(t, migration.Share(500), w.state.Position)
	w.new = 0.005
	w.until(ramp.Rising, "")
}

func TestAdvise(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 100, 2500)
	w.config.Ramp.Advise, w.config.Ceiling = true, 100
	require.Equal(t, migration.Share(100), w.tick().To)
	require.Equal(t, "advise: new is good: write percentage 25", w.until(ramp.Waiting, ramp.ReasonAdvise).Why)
	w.config.Ceiling = 2500
	require.Equal(t, migration.Share(2500), w.tick().To)
	w.new = 0.2
	require.Equal(t, "advise: new is bad: write percentage 1", w.until(ramp.Waiting, ramp.ReasonAdvise).Why)
	require.Equal(t, migration.Share(2500), w.state.Position)
}

func TestNoTraffic(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 100, 2500)
	w.perSlot = 0
	w.tick()
	for range 4 * 360 {
		w.tick()
	}
	require.Equal(t, ramp.Measuring, w.state.Phase, "a night without traffic is no verdict")
	w.config.Ramp.NoData = 3 * time.Hour
	require.Equal(t, migration.Share(2500), w.tick().To)
}

// TestStructure: another backend makes what was measured worthless, not the position.
func TestStructure(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2500, 5000)
	for range 10 {
		w.tick()
	}
	require.NotZero(t, w.state.Evidence.New.Requests)
	before := w.state.Evidence.New.Requests
	w.config.Structure = "b"
	w.tick()
	require.Less(t, w.state.Evidence.New.Requests, before)
	require.Equal(t, migration.Share(2500), w.state.Position)
}

func TestETA(t *testing.T) {
	t.Parallel()
	s := ramp.Summary{New: ramp.Counts{Requests: 100}, Wanted: 600, Held: time.Minute, Hold: 30 * time.Minute}
	require.Equal(t, 29*time.Minute, s.ETA())
	s.New.Requests = 10
	require.Equal(t, 59*time.Minute, s.ETA())
	s.New.Requests = 0
	require.Negative(t, s.ETA())
	require.Equal(t, "0 of 600 requests, 1m of 30m", s.String())
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "{}", `{"version":2}`, `{"version":1,"phase":"flying"}`, `{"version":1,"position":10001}`, `{"version":1,"position":-1}`,
		`{"version":1,"phase":"returning","position":5,"target":6}`, `{"version":1,"evidence":{"failures":{"slots":-1}}}`,
		`{"version":1,"evidence":{"failed_before":"AAAA"}}`,
		`{"version":1,"evidence":{"failed_before":"bits AAAA"}}`, `{"version":1,"evidence":{"failed_before":"runs //8="}}`,
	} {
		state, err := ramp.DecodeState([]byte(text))
		require.ErrorContains(t, err, "decode the state of a ramp", text)
		require.Equal(t, ramp.State{}, state)
	}
}

// TestBitsets: sets of all sizes come back, and small ones are short.
func TestBitsets(t *testing.T) {
	t.Parallel()
	for _, every := range []int{1, 2, 3, 100, 9999, 20000} {
		var set, back ramp.Bitset
		for bucket := every - 1; bucket < int(migration.FullShare); bucket += every {
			set.Add(bucket)
		}
		text, err := set.MarshalText()
		require.NoError(t, err)
		require.LessOrEqual(t, len(text), 1700)
		require.NoError(t, back.UnmarshalText(text))
		require.Equal(t, set, back)
		require.Equal(t, int(migration.FullShare)/every, back.Len())
	}
}

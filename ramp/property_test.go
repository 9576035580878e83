package ramp_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/ramp"
)

// migrationRun is one migration in a random world.
type migrationRun struct {
	random *rand.Rand
	config ramp.Config
	state  ramp.State
	now    time.Time
	rate   float64
	old    float64
	new    float64
	number int
}

func newRun(seed uint64) *migrationRun {
	random := rand.New(rand.NewPCG(seed, 7))
	var steps []migration.Share
	for at := migration.Share(0); at < 9900 && len(steps) < 6; {
		at += migration.Share(1 + random.IntN(4000))
		steps = append(steps, min(at, migration.FullShare))
	}
	r := rampTo(time.Duration(random.IntN(1200))*time.Second, steps...)
	for i := range r.Steps {
		r.Steps[i].Ask = random.IntN(5) == 0
	}
	r.Back.ToZero, r.Back.By = random.IntN(4) == 0, migration.Share(1+random.IntN(4000))
	r.Advise = random.IntN(10) == 0
	if random.IntN(3) == 0 {
		r.NoData = time.Duration(1+random.IntN(3600)) * time.Second
	}
	if random.IntN(4) == 0 {
		r.Only = &migration.Window{Days: 127, From: migration.Clock(random.IntN(1440)), To: migration.Clock(random.IntN(1440))}
	}
	config := configOf(r, migration.FullShare)
	config.PerBucket = random.IntN(4) == 0
	return &migrationRun{
		random: random, config: config, now: start,
		rate: 1 + 200*random.Float64(), old: 0.01 * random.Float64(), new: 0.02 * random.Float64(),
	}
}

// sample draws what happens in ten seconds: mostly traffic, sometimes trouble and people.
func (r *migrationRun) sample() ramp.Sample {
	part := float64(r.state.Position) / float64(migration.FullShare)
	in := ramp.Sample{Slot: ramp.Slot{
		Old: side(r.random, r.rate*10*(1-part), r.old, 0.01), New: side(r.random, r.rate*10*part, r.new, 0.01),
		Timed: r.random.IntN(2) == 0,
	}}
	if r.config.PerBucket {
		for range 30 {
			bucket := r.random.IntN(int(migration.FullShare))
			in.Slot.Buckets.Seen.Add(bucket)
			if r.random.Float64() < 0.05 {
				in.Slot.Buckets.Failed.Add(bucket)
			}
		}
	}
	half := ramp.Counts{Requests: in.Slot.New.Requests / 2, Failed: in.Slot.New.Failed}
	in.Slot.Replicas = map[string]ramp.Counts{"a": half, "b": {Requests: in.Slot.New.Requests - half.Requests}}
	if r.random.IntN(20) > 0 {
		in.Slot.Replicas["a"], in.Slot.Replicas["b"] = in.Slot.Replicas["b"], in.Slot.New
	}
	switch r.random.IntN(60) {
	case 0:
		in.Unserved = "pod a serves 5 %"
	case 1:
		in.FallenBack = true
	case 2:
		in.Gates = []ramp.Gate{{Reason: ramp.ReasonCheck, Detail: "lag: 503"}}
	case 3:
		in.Limits = map[migration.Name]migration.Share{"auth": migration.Share(r.random.IntN(10000))}
	case 4:
		in.Command = r.command()
	}
	return in
}

func (r *migrationRun) command() *ramp.Command {
	verbs := []ramp.Verb{ramp.Approve, ramp.HoldOn, ramp.Resume, ramp.Skip, ramp.Back, "other"}
	position := r.state.Position
	if r.random.IntN(4) == 0 {
		position = 77
	}
	return &ramp.Command{ID: fmt.Sprint(r.number), Verb: verbs[r.random.IntN(len(verbs))], Position: position, By: "alice"}
}

// edit is what people do to the config.
func (r *migrationRun) edit() {
	switch r.random.IntN(400) {
	case 0:
		r.config.Ceiling = migration.Share(r.random.IntN(10001))
	case 1:
		r.config.Ceiling = 0
	case 2:
		r.config.Ceiling = migration.FullShare
	case 3:
		r.config.Structure += "x"
	case 4:
		r.new = 0.05 * r.random.Float64()
	case 5:
		r.config.Freeze = []migration.Freeze{{From: r.now, Until: r.now.Add(10 * time.Minute)}}
	case 6:
		r.now = r.now.Add(-time.Hour) // the clock is set
	case 7:
		r.now = r.now.Add(24 * time.Hour)
	}
}

// step makes one step and checks what must hold for each.
func (r *migrationRun) step(t require.TestingT) {
	r.number++
	r.now = r.now.Add(tick)
	r.edit()
	in, before := r.sample(), r.state
	after, decision := ramp.Step(r.config, before, in, r.now)
	if r.number%17 == 0 { // a prime, so that restarts meet each moment of what repeats
		text, err := ramp.EncodeState(before)
		require.NoError(t, err)
		restarted, err := ramp.DecodeState(text)
		require.NoError(t, err)
		other, otherDecision := ramp.Step(r.config, restarted, in, r.now)
		require.Equal(t, after, other, "a restart before this step")
		require.Equal(t, decision, otherDecision)
	}
	r.checkStep(t, before, after, in, decision)
	r.state = after
}

func (r *migrationRun) checkStep(t require.TestingT, before, after ramp.State, in ramp.Sample, d ramp.Decision) {
	require.LessOrEqual(t, after.Position, r.config.Ceiling, "above the ceiling")
	require.GreaterOrEqual(t, after.Position, migration.Share(0))
	require.Equal(t, before.Position, d.From)
	require.Equal(t, after.Position, d.To)
	require.Equal(t, d.From != d.To || before.Phase != after.Phase || before.Reason != after.Reason, d.Transition)
	require.NotEmpty(t, d.Why)
	did := ramp.Verb("")
	if d.Command != nil && d.Refused == "" {
		did = d.Command.Verb
	}
	switch {
	case r.config.Ramp.Advise:
		require.Equal(t, r.config.Ceiling, after.Position, "a ramp that advises limits nothing")
	case d.To > d.From:
		r.checkRise(t, before, in, d, did)
	case d.To < d.From:
		r.checkFall(t, before, d, did)
	}
}

func (r *migrationRun) checkRise(t require.TestingT, before ramp.State, in ramp.Sample, d ramp.Decision, did ramp.Verb) {
	for _, step := range r.config.Ramp.Steps {
		if step.To > d.From {
			require.Equal(t, min(step.To, r.config.Ceiling), d.To, "it rises to the next step")
			break
		}
	}
	if did == ramp.Skip {
		return
	}
	require.Empty(t, in.Unserved)
	require.True(t, d.Summary.Verdict == ramp.Good || d.From == 0 || r.config.Ramp.NoData > 0 && d.Summary.New.Failed == 0, "up without a good verdict")
	require.True(t, before.Held == nil || did == ramp.Resume, "up while held")
	require.False(t, in.FallenBack)
	require.Empty(t, in.Gates)
	require.True(t, r.config.Ramp.Only == nil || r.config.Ramp.Only.Open(r.now), "up outside of the window")
	for _, freeze := range r.config.Freeze {
		require.False(t, freeze.Contains(r.now), "up in a freeze")
	}
	for _, limit := range in.Limits {
		require.LessOrEqual(t, d.To, limit)
	}
}

func (r *migrationRun) checkFall(t require.TestingT, before ramp.State, d ramp.Decision, did ramp.Verb) {
	byCeiling := d.From > r.config.Ceiling
	portion := d.From-d.To <= r.config.Ramp.Back.By
	returning := d.Phase == ramp.Returning || d.Phase == ramp.Cooling
	require.True(t, byCeiling || before.Tripped || returning && portion, "a fall without a reason: %+v", d)
	if returning && before.Phase != ramp.Returning && did != ramp.Back && !byCeiling {
		require.Equal(t, ramp.Bad, d.Summary.Verdict, "down without a bad verdict")
	}
}

// TestRandomMigrations: 1,000 migrations in random worlds break no invariant.
func TestRandomMigrations(t *testing.T) {
	t.Parallel()
	phases, rises, ends := map[ramp.Phase]int{}, 0, 0
	for seed := range uint64(1000) {
		r := newRun(seed)
		for range 360 {
			before := r.state.Position
			r.step(t)
			phases[r.state.Phase]++
			if r.state.Position > before {
				rises++
			}
		}
		if r.state.Phase == ramp.Done {
			ends++
		}
	}
	t.Log(phases, rises, ends)
	require.Len(t, phases, 7, "each phase is reached: %v", phases)
	require.Greater(t, rises, 2000)
	require.Positive(t, ends)
}

// TestMonotone: without a bad verdict, people and edits, a position never falls.
func TestMonotone(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 3))
		config := configOf(rampTo(5*time.Minute, 100, 500, 2500, 5000, 9900), migration.FullShare)
		state, position, now := ramp.State{}, migration.Share(0), start
		for range 3 * 360 {
			part := float64(position) / float64(migration.FullShare)
			in := ramp.Sample{Slot: ramp.Slot{Old: side(random, 1000*(1-part), 0.005, 0), New: side(random, 1000*part, 0.005, 0)}}
			now = now.Add(tick)
			state, _ = ramp.Step(config, state, in, now)
			require.GreaterOrEqual(t, state.Position, position)
			position = state.Position
		}
		require.Equal(t, ramp.Done, state.Phase, "after three hours it is at the end: %+v", state)
	}
}

package ramp_test

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/ramp"
)

// scenario is a row of the table: a service that stays at one step.
type scenario struct {
	name        string
	rate        float64 // requests per second
	share       migration.Share
	last        time.Duration
	repetitions int
	// The part of the requests that fail, at the time since the start.
	old, new func(at time.Duration) float64
	// The part of the answers of new that are slower than the bound, when a part of
	// old's is; nil: not simulated.
	slow  func(random *rand.Rand) (old, new float64)
	users *users
	want  want
}

// want is what a row must show. A row says "same" when new is no worse than tolerated.
type want struct {
	same       bool          // no return at all
	badWithin  time.Duration // all are bad, the median within this time
	goodAtMost float64       // the part of the runs with a good verdict
	good       time.Duration // 95 % are good, the median within this time
}

func constant(p float64) func(time.Duration) float64 { return func(time.Duration) float64 { return p } }

func outage(p float64) func(time.Duration) float64 {
	return func(at time.Duration) float64 {
		if at >= 10*time.Minute && at < 15*time.Minute {
			return 0.3
		}
		return p
	}
}

func scenarios() []scenario {
	same, ten := want{same: true}, 10*time.Minute
	goodIn := func(d time.Duration) want { return want{same: true, good: d} }
	badIn := func(d time.Duration) want { return want{badWithin: d, goodAtMost: 0.05} }
	slowNew := func(factor, plus, tail float64) func(*rand.Rand) (float64, float64) {
		return func(random *rand.Rand) (float64, float64) { return slowParts(random, factor, plus, tail) }
	}
	fine := constant(0.005)
	return []scenario{
		{name: "both fail 0.5 %", rate: 50, share: 500, last: 6 * time.Hour, repetitions: 200, old: fine, new: fine, want: goodIn(ten)},
		{name: "both fail 0.5 %, for 5 min 30 % (shared database)", rate: 50, share: 500, last: 2 * time.Hour, repetitions: 300, old: outage(0.005), new: outage(0.005), want: goodIn(ten)},
		{name: "old 0.5 %, new 5 %", rate: 50, share: 500, last: time.Hour, repetitions: 400, old: fine, new: constant(0.05), want: badIn(2 * time.Minute)},
		{name: "old 0 %, new 2 %", rate: 50, share: 500, last: time.Hour, repetitions: 400, old: constant(0), new: constant(0.02), want: badIn(3 * time.Minute)},
		{name: "old 0.1 %, new 1 %", rate: 500, share: 100, last: time.Hour, repetitions: 400, old: constant(0.001), new: constant(0.01), want: badIn(5 * time.Minute)},
		{name: "both fail 0.5 %", rate: 5, share: 500, last: 6 * time.Hour, repetitions: 200, old: fine, new: fine, want: goodIn(90 * time.Minute)},
		{name: "old 0.5 %, new 20 %", rate: 5, share: 500, last: time.Hour, repetitions: 400, old: fine, new: constant(0.2), want: badIn(4 * time.Minute)},
		{name: "both fail 0.01 %", rate: 50, share: 5000, last: time.Hour, repetitions: 400, old: constant(0.0001), new: constant(0.0001), want: goodIn(time.Minute)},
		{name: "new 1.5 times as many (tolerated)", rate: 50, share: 500, last: 2 * time.Hour, repetitions: 300, old: fine, new: constant(0.0075), want: same},
		{name: "new 2 times as many (either is allowed)", rate: 50, share: 500, last: 2 * time.Hour, repetitions: 200, old: fine, new: constant(0.01), want: want{goodAtMost: 1}},
		{name: "new as old for 6 h, then 5 %", rate: 50, share: 500, last: 7 * time.Hour, repetitions: 200, old: fine, new: worse(6 * time.Hour), want: want{badWithin: 6*time.Hour + 5*time.Minute, goodAtMost: 1}},
		{name: "latency: the same", rate: 20, share: 500, last: 2 * time.Hour, repetitions: 300, old: constant(0), new: constant(0), slow: slowNew(1, 0, 0), want: goodIn(15 * time.Minute)},
		{name: "latency: new 20 ms farther", rate: 20, share: 500, last: 2 * time.Hour, repetitions: 300, old: constant(0), new: constant(0), slow: slowNew(1, 0.02, 0), want: goodIn(15 * time.Minute)},
		{name: "latency: new twice as slow", rate: 20, share: 500, last: time.Hour, repetitions: 400, old: constant(0), new: constant(0), slow: slowNew(2, 0, 0), want: badIn(10 * time.Minute)},
		{name: "latency: 10 % of new's answers take 3 s", rate: 20, share: 500, last: time.Hour, repetitions: 400, old: constant(0), new: constant(0), slow: slowNew(1, 0, 0.1), want: badIn(5 * time.Minute)},
		{name: "user_hash: 6 clients always fail", rate: 20, share: 500, last: time.Hour, repetitions: 200, users: &users{all: 500, failing: 6, old: 0.001, new: 0.001}, want: same},
		{name: "user_hash: new fails 3 % for everybody", rate: 20, share: 500, last: time.Hour, repetitions: 200, users: &users{all: 500, failing: 6, old: 0.001, new: 0.03}, want: badIn(15 * time.Minute)},
	}
}

func worse(after time.Duration) func(time.Duration) float64 {
	return func(at time.Duration) float64 {
		if at < after {
			return 0.005
		}
		return 0.05
	}
}

// slowParts is the part of the answers of each side above its bound. Latencies are
// log-normal with a median of 100 ms and a 99th percentile of 0.64 s. The bound is what
// ten minutes of 20 requests per second tell of it, rounded up to a bin.
func slowParts(random *rand.Rand, factor, plus, tail float64) (old, new float64) {
	const median, sigma, z99 = 0.1, 0.8, 2.3263
	bound := median * math.Exp(sigma*z99) * math.Exp(0.04*random.NormFloat64()+0.05*random.Float64())
	above := func(seconds float64) float64 {
		return 0.5 * math.Erfc(math.Log(seconds/median)/sigma/math.Sqrt2)
	}
	old = above(bound)
	return old, tail + (1-tail)*above((bound+0.03-plus)/factor)
}

// users are the clients of a service with strategy user_hash.
type users struct {
	all, failing int     // failing ones fail every request at both sides
	old, new     float64 // the part of the others' requests that fails
}

// population are the buckets of users, drawn for one run.
type population struct {
	*users
	buckets []int
	seen    ramp.Buckets
}

func (u *users) draw(random *rand.Rand) *population {
	p := &population{users: u, buckets: make([]int, u.all)}
	for i := range p.buckets {
		p.buckets[i] = random.IntN(int(migration.FullShare))
	}
	return p
}

// slot draws the requests of a slot; every five minutes the sets are empty again.
func (p *population) slot(random *rand.Rand, s scenario, number int) ramp.Slot {
	if number%30 == 0 {
		p.seen = ramp.Buckets{}
	}
	var slot ramp.Slot
	for range poisson(random, s.rate*tick.Seconds()) {
		user := random.IntN(p.all)
		counts, failed := &slot.Old, p.old
		if p.buckets[user] < int(s.share) {
			counts, failed = &slot.New, p.new
		}
		counts.Requests++
		p.seen.Seen.Add(p.buckets[user])
		if user < p.failing || random.Float64() < failed {
			counts.Failed++
			p.seen.Failed.Add(p.buckets[user])
		}
	}
	slot.Buckets = p.seen
	return slot
}

func (s scenario) slot(random *rand.Rand, number int) ramp.Slot {
	at := time.Duration(number) * tick
	slowOld, slowNew := 0.0, 0.0
	if s.slow != nil {
		slowOld, slowNew = s.slow(random)
	}
	all, part := s.rate*tick.Seconds(), float64(s.share)/float64(migration.FullShare)
	return ramp.Slot{
		Old: side(random, all*(1-part), s.old(at), slowOld), New: side(random, all*part, s.new(at), slowNew), Timed: s.slow != nil,
	}
}

// run is when one repetition was first bad and first good, and when the fixed rule went
// back; -1: never.
type run struct{ bad, good, fixed time.Duration }

// fixedRule is the common rule of other tools: 99 % of new's requests of each minute
// succeed, and the fifth minute in which they do not ends the run.
type fixedRule struct {
	minute ramp.Counts
	failed int
}

func (f *fixedRule) add(c ramp.Counts, number int) bool {
	f.minute.Requests, f.minute.Failed = f.minute.Requests+c.Requests, f.minute.Failed+c.Failed
	if number%6 != 5 {
		return false
	}
	if f.minute.Requests > 0 && float64(f.minute.Failed) > 0.01*float64(f.minute.Requests) {
		f.failed++
	}
	f.minute = ramp.Counts{}
	return f.failed >= 5
}

func (s scenario) run(random *rand.Rand) run {
	config := configOf(rampTo(0, s.share, migration.FullShare), s.share)
	config.PerBucket = s.users != nil
	state := ramp.State{Phase: ramp.Measuring, Position: s.share, Structure: "a"}
	next := s.slot
	if s.users != nil {
		people := s.users.draw(random)
		next = func(random *rand.Rand, number int) ramp.Slot { return people.slot(random, s, number) }
	}
	result, fixed := run{-1, -1, -1}, fixedRule{}
	for number := 0; number < int(s.last/tick) && (result.bad < 0 || result.fixed < 0); number++ {
		at := time.Duration(number+1) * tick
		slot := next(random, number)
		if fixed.add(slot.New, number) && result.fixed < 0 {
			result.fixed = at
		}
		if result.bad >= 0 {
			continue
		}
		var decision ramp.Decision
		state, decision = ramp.Step(config, state, ramp.Sample{Slot: slot}, start.Add(at))
		if decision.Summary.Verdict == ramp.Good && result.good < 0 {
			result.good = at
		}
		if decision.Phase == ramp.Returning || decision.Phase == ramp.Cooling {
			result.bad = at
		}
	}
	return result
}

// part is how many of the times exist, and their median.
func part(times []time.Duration) (ratio float64, median time.Duration) {
	var existing []time.Duration
	for _, t := range times {
		if t >= 0 {
			existing = append(existing, t)
		}
	}
	if len(existing) == 0 {
		return 0, 0
	}
	slices.Sort(existing)
	return float64(len(existing)) / float64(len(times)), existing[len(existing)/2]
}

func (s scenario) check(t *testing.T, runs []run) string {
	t.Helper()
	var bad, good, fixed []time.Duration
	for _, r := range runs {
		bad, good, fixed = append(bad, r.bad), append(good, r.good), append(fixed, r.fixed)
	}
	badPart, badAt := part(bad)
	goodPart, goodAt := part(good)
	fixedPart, fixedAt := part(fixed)
	row := fmt.Sprintf("| %s | %g | %s %% | %s | %s | %s |", s.name, s.rate, s.share, cell(badPart, badAt), cell(goodPart, goodAt), cell(fixedPart, fixedAt))
	switch {
	case s.want.same:
		require.Less(t, badPart, 0.001, row)
		if s.want.good > 0 {
			require.GreaterOrEqual(t, goodPart, 0.95, row)
			require.LessOrEqual(t, goodAt, s.want.good, row)
		}
	case s.want.badWithin > 0:
		require.InDelta(t, 1, badPart, 1e-9, row)
		require.LessOrEqual(t, badAt, s.want.badWithin, row)
		require.LessOrEqual(t, goodPart, s.want.goodAtMost, row)
	}
	return row
}

func cell(ratio float64, median time.Duration) string {
	if ratio == 0 {
		return "0 %"
	}
	return fmt.Sprintf("%.3g %%, %s", 100*ratio, median)
}

// TestSimulation is the table of docs/ramp.md, which go test -v prints.
func TestSimulation(t *testing.T) {
	t.Parallel()
	rows := make([]string, len(scenarios()))
	for i, s := range scenarios() {
		t.Run(fmt.Sprintf("%s at %g rps", s.name, s.rate), func(t *testing.T) {
			seed := fnv.New64a()
			_, _ = seed.Write([]byte(t.Name()))
			random := rand.New(rand.NewPCG(seed.Sum64(), 1))
			runs := make([]run, s.repetitions)
			for j := range runs {
				runs[j] = s.run(random)
			}
			rows[i] = s.check(t, runs)
		})
	}
	t.Log("\n| case | requests per second | share | bad | good | fixed rule |\n|---|---|---|---|---|---|\n" + strings.Join(rows, "\n"))
}

// TestDurations is the other table of docs/ramp.md: how long new takes to be good at a
// step, without hold.
func TestDurations(t *testing.T) {
	t.Parallel()
	text := "\n| requests per second | 1 % | 5 % | 25 % | 50 % |\n|---|---|---|---|---|\n"
	var medians []time.Duration
	for _, rate := range []float64{1, 5, 20, 100, 500} {
		text += fmt.Sprintf("| %g |", rate)
		for _, share := range []migration.Share{100, 500, 2500, 5000} {
			s := scenario{rate: rate, share: share, last: 72 * time.Hour, old: constant(0.005), new: constant(0.005)}
			var times []time.Duration
			for seed := range uint64(15) {
				times = append(times, s.untilGood(rand.New(rand.NewPCG(seed, uint64(share)))))
			}
			slices.Sort(times)
			medians = append(medians, times[len(times)/2])
			text += fmt.Sprintf(" %s |", times[len(times)/2])
		}
		text += "\n"
	}
	t.Log(text)
	require.Less(t, medians[len(medians)-1], time.Minute)
	require.Less(t, medians[0], 72*time.Hour)
}

func (s scenario) untilGood(random *rand.Rand) time.Duration {
	config := configOf(rampTo(0, s.share, migration.FullShare), s.share)
	state := ramp.State{Phase: ramp.Measuring, Position: s.share, Structure: "a"}
	for number := range int(s.last / tick) {
		at := time.Duration(number+1) * tick
		var decision ramp.Decision
		if state, decision = ramp.Step(config, state, ramp.Sample{Slot: s.slot(random, number)}, start.Add(at)); decision.Summary.Verdict == ramp.Good {
			return at
		}
	}
	return s.last
}

package localramp

import (
	"context"
	"log/slog"
	"maps"
	"sync/atomic"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/journal"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/ramp"
	"github.com/migration-proxy/migration-proxy/ramp/leader"
)

// DefaultInterval is the time between two ticks: the length of a slot of evidence.
const DefaultInterval = 10 * time.Second

// checkTimeout bounds one request to an address of ramp.check.
const checkTimeout = 2 * time.Second

// saveTicks is after how many ticks evidence is stored that led to no transition.
const saveTicks = 3

// Agent serves the config; *proxy.Agent implements it.
type Agent interface {
	Table() *migration.Table // in force, or nil
	Status() status.Status
}

// Counters measure; *accesslog.Counters implements it.
type Counters interface {
	Evidence(now time.Time) status.Evidence
}

// Positions puts positions in force; *positions.Follower implements it.
type Positions interface {
	Set(status.Positions)
}

// Journal keeps what happened; *localjournal.Writer implements it.
type Journal interface {
	Append(entries ...journal.Entry)
}

// Options are the parts of Ramps; all but Interval are required.
type Options struct {
	Agent      Agent
	Counters   Counters
	Positions  Positions
	Journal    Journal
	RuntimeDir string
	Interval   time.Duration // DefaultInterval if 0
	Log        *slog.Logger
}

// Ramps are the ramps of all services. Only the goroutine of Run uses them, but for Problem.
type Ramps struct {
	options   Options
	checks    *leader.Checks
	meter     leader.Meter
	states    map[migration.Name]ramp.State
	positions status.Positions
	savedAt   time.Time
	problem   atomic.Pointer[string] // of the last write; nil: it succeeded
}

// Problem is why the ramps cannot move; "" while they can.
func (r *Ramps) Problem() string {
	if problem := r.problem.Load(); problem != nil {
		return *problem
	}
	return ""
}

// New reads the states and the bounds of slow answers of before a restart. Those that
// cannot be read are logged.
func New(options Options) *Ramps {
	if options.Interval == 0 {
		options.Interval = DefaultInterval
	}
	r := &Ramps{options: options, checks: leader.NewChecks(checkTimeout), states: map[migration.Name]ramp.State{}}
	data, err := Read(options.RuntimeDir)
	if err == nil {
		r.states, err = ramp.DecodeStates[migration.Name](data[status.MachineKey])
	}
	if err == nil {
		r.positions, err = status.ParsePositions(data)
	}
	if err != nil {
		options.Log.Error("stored ramps not read, they begin at 0", "error", err)
	}
	return r
}

// Run ticks until ctx ends.
func (r *Ramps) Run(ctx context.Context) {
	ticker := time.NewTicker(r.options.Interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			r.tick(ctx, now)
		}
	}
}

// result is one service's step, which counts when it is written.
type result struct {
	state    ramp.State
	decision ramp.Decision
	position status.Position
}

func (r *Ramps) tick(ctx context.Context, now time.Time) {
	table := r.options.Agent.Table()
	if table == nil || len(r.states) == 0 && !table.HasRamps() {
		return
	}
	inputs := r.observe(ctx, table, now)
	results := map[migration.Name]result{}
	services := table.Services()
	for i := range services {
		if services[i].Ramp != nil {
			results[services[i].Name] = r.step(inputs, &services[i])
		}
	}
	r.finish(results, now)
}

func (r *Ramps) step(in *inputs, s *migration.Service) result {
	before := r.states[s.Name]
	known := r.positions.Services[string(s.Name)]
	sample := in.sample(s)
	sample.Slot = r.meter.Slot(s.Name)
	sample.Slot.Timed = known.SlowOld > 0
	sample.Unserved = r.meter.Unserved(s.Name, s.ShareAt(before.Position), in.now)
	sample.Gates = append(r.checks.Gates(s.Ramp), r.meter.Parity(s)...)
	after, decision := ramp.Step(ramp.ConfigOf(in.table, s), before, sample, in.now)
	return result{after, decision, r.meter.Position(s, after.Position, known)}
}

// finish writes the results if they must be written now, and believes them then. When
// they cannot be written, only the evidence is believed.
func (r *Ramps) finish(results map[migration.Name]result, now time.Time) {
	moved, next := len(results) != len(r.states), status.Positions{Services: map[string]status.Position{}}
	for name, one := range results {
		next.Services[string(name)] = one.position
		moved = moved || one.moved()
	}
	if moved || r.Problem() != "" || now.Sub(r.savedAt) >= saveTicks*r.options.Interval {
		err := r.save(results, next)
		r.noteWrite(err)
		if err != nil {
			maps.DeleteFunc(results, func(_ migration.Name, one result) bool { return one.moved() })
			r.believe(results, now)
			return
		}
		r.savedAt = now
	}
	maps.DeleteFunc(r.states, func(name migration.Name, _ ramp.State) bool { _, ok := results[name]; return !ok })
	r.believe(results, now)
	r.positions = next
	r.options.Positions.Set(next)
}

// noteWrite keeps what became of a write, and logs a change of it.
func (r *Ramps) noteWrite(err error) {
	switch was := r.Problem(); {
	case err == nil && was != "":
		r.problem.Store(nil)
		r.options.Log.Info("ramps written again, they go on")
	case err != nil:
		text := "the ramp stays where it is, because its state cannot be written: " + err.Error()
		r.problem.Store(&text)
		if was == "" {
			r.options.Log.Error("ramps not written, they stay where they are", "error", err)
		}
	}
}

func (r *Ramps) believe(results map[migration.Name]result, now time.Time) {
	for name, one := range results {
		r.states[name] = one.state
		r.options.Journal.Append(leader.Entries(string(name), one.state, one.decision, now)...)
		r.report(name, one.decision)
	}
}

func (o result) moved() bool { return o.decision.Transition || o.decision.Command != nil }

func (r *Ramps) report(name migration.Name, d ramp.Decision) {
	if !d.Transition && d.Command == nil {
		return
	}
	level := slog.LevelInfo
	if d.NeedsPerson || d.To < d.From {
		level = slog.LevelWarn
	}
	r.options.Log.Log(context.Background(), level, "ramp transition", "service", name, "from", d.From, "to", d.To,
		"phase", d.Phase, "reason", d.Reason, "why", d.Why, "by", d.By, "refused", d.Refused, "evidence", d.Summary.String())
}

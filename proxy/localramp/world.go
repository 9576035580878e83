package localramp

import (
	"context"
	"fmt"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/ramp"
)

// world is what is known at one tick.
type world struct {
	table            *migration.Table
	evidence, before status.Evidence
	rows             map[migration.Name]status.Service
	commands         status.Commands
	now              time.Time
}

func (r *Ramps) observe(ctx context.Context, table *migration.Table, now time.Time) *world {
	w := &world{
		table: table, evidence: r.options.Counters.Evidence(now), before: r.before,
		rows: map[migration.Name]status.Service{}, now: now,
	}
	for _, row := range r.options.Agent.Status().Services {
		w.rows[migration.Name(row.Name)] = row
	}
	data, err := Read(r.options.RuntimeDir)
	if err == nil {
		w.commands, err = status.ParseCommands(data)
	}
	if err != nil {
		r.options.Log.Warn("commands of ramps not read", "error", err)
	}
	r.checks.ask(ctx, table.Services(), now)
	return w
}

func (w *world) sample(s *migration.Service, position migration.Share) ramp.Sample {
	sample := ramp.Sample{
		Slot: w.slot(s.Name), Unserved: w.unserved(s, position),
		FallenBack: w.rows[s.Name].Phase == status.FallenBack,
		Limits:     map[migration.Name]migration.Share{},
	}
	for _, other := range s.Ramp.NotAheadOf {
		sample.Limits[other] = w.inForce(other)
	}
	if c, ok := w.commands.Services[string(s.Name)]; ok {
		sample.Command = &ramp.Command{
			ID: c.ID, Verb: ramp.Verb(c.Verb), Position: migration.Share(100*c.Share + 0.5), By: c.By, Reason: c.Reason,
		}
	}
	return sample
}

// inForce is the share that a service has now.
func (w *world) inForce(name migration.Name) migration.Share {
	row := w.rows[name]
	if row.Phase != status.Migrating {
		return 0
	}
	return migration.Share(100*row.Share + 0.5)
}

// unserved is why the position is not served; "" if it is.
func (w *world) unserved(s *migration.Service, position migration.Share) string {
	served, known := w.evidence.Services[string(s.Name)]
	wanted := s.ShareAt(position)
	switch {
	case !known:
		return "the proxy does not have the ramp yet"
	case served.Share != wanted.Percent():
		return fmt.Sprintf("the proxy serves %g %%, not %s %%", served.Share, wanted)
	}
	return ""
}

// slot is what was counted since the tick before, if the share stayed.
func (w *world) slot(name migration.Name) ramp.Slot {
	before, known := w.before.Services[string(name)]
	after, ok := w.evidence.Services[string(name)]
	if !known || !ok || !w.before.StartedAt.Equal(w.evidence.StartedAt) || before.Share != after.Share {
		return ramp.Slot{}
	}
	slot := ramp.Slot{Old: difference(before.Old, after.Old), New: difference(before.New, after.New)}
	if after.Buckets != nil {
		slot.Buckets = ramp.Buckets{Seen: after.Buckets.Seen, Failed: after.Buckets.Failed, Slow: after.Buckets.Slow}
	}
	return slot
}

func difference(before, after status.EvidenceSide) ramp.Counts {
	return ramp.Counts{
		Requests: after.Requests - before.Requests, Failed: after.Failed - before.Failed, Slow: after.Slow - before.Slow,
	}
}

// minTimed is how many answers of old tell where its 99th percentile is; a bound moves
// when the percentile has changed by boundChange.
const (
	minTimed    = 200
	boundChange = 0.1
)

// slowBound is old's 99th percentile of the last ten minutes in seconds, or the bound
// before while that is near; 0: too few answers to tell.
func (w *world) slowBound(name migration.Name, before float64) float64 {
	counts, all := w.evidence.Services[string(name)].OldLatency, uint64(0)
	for _, n := range counts {
		all += n
	}
	if all < minTimed {
		return before
	}
	bound := status.LatencyQuantile(counts, 0.99)
	if bound > before*(1+boundChange) || bound < before*(1-boundChange) {
		return bound
	}
	return before
}

package localramp

import (
	"context"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/ramp"
	"github.com/migration-proxy/migration-proxy/ramp/leader"
)

// inputs is what is known at one tick, other than what was measured.
type inputs struct {
	table    *migration.Table
	rows     map[migration.Name]status.Service
	commands status.Commands
	now      time.Time
}

func (r *Ramps) observe(ctx context.Context, table *migration.Table, now time.Time) *inputs {
	in := &inputs{table: table, rows: map[migration.Name]status.Service{}, now: now}
	r.meter.Take([]leader.Replica{{Name: "the proxy", Ready: true, Evidence: r.options.Counters.Evidence(now)}}, now)
	for _, row := range r.options.Agent.Status().Services {
		in.rows[migration.Name(row.Name)] = row
	}
	data, err := Read(r.options.RuntimeDir)
	if err == nil {
		in.commands, err = status.ParseCommands(data)
	}
	if err != nil {
		r.options.Log.Warn("commands of ramps not read", "error", err)
	}
	r.checks.Ask(ctx, table.Services(), now)
	return in
}

func (in *inputs) sample(s *migration.Service) ramp.Sample {
	sample := ramp.Sample{
		FallenBack: in.rows[s.Name].Phase == status.FallenBack && !in.rows[s.Name].InDrill(),
		Limits:     map[migration.Name]migration.Share{},
		Command:    leader.Command(in.commands, s.Name),
	}
	for _, other := range s.Ramp.NotAheadOf {
		sample.Limits[other] = in.inForce(other)
	}
	return sample
}

// inForce is the share that a service has now.
func (in *inputs) inForce(name migration.Name) migration.Share {
	row := in.rows[name]
	if row.Phase != status.Migrating {
		return 0
	}
	return migration.ShareOf(row.Share)
}

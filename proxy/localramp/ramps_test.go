package localramp

import (
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/journal"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/ramp"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// proxy serves what it is told at once: it is the agent, the counters and the positions.
type proxy struct {
	table    *migration.Table
	evidence status.Evidence
	phase    status.Phase
	share    migration.Share
	journal  []journal.Entry
}

func (p *proxy) Append(entries ...journal.Entry) { p.journal = append(p.journal, entries...) }

func (p *proxy) Table() *migration.Table { return p.table }

func (p *proxy) Status() status.Status {
	return status.Status{Services: []status.Service{{Name: "shop", Share: p.share.Percent(), Phase: p.phase}}}
}

func (p *proxy) Evidence(time.Time) status.Evidence {
	return status.Evidence{StartedAt: p.evidence.StartedAt, Services: maps.Clone(p.evidence.Services)}
}

func (p *proxy) Set(positions status.Positions) {
	p.share = migration.ShareOf(positions.Services["shop"].Share)
	shop := p.evidence.Services["shop"]
	shop.Share = p.share.Percent()
	p.evidence.Services["shop"] = shop
}

func newProxy(t *testing.T) *proxy {
	t.Helper()
	table, err := migration.NewTable(migration.Global{}, []migration.Service{{
		Name: "shop", OldHost: "shop.example", PathPrefix: "/", Enabled: true, Share: 5000, Strategy: migration.StrategyWeight,
		Fallback: migration.Fallback{RecoveryTime: time.Minute},
		Ramp: &migration.Ramp{
			Steps: []migration.RampStep{{To: 500, Hold: time.Second}, {To: 2500, Hold: time.Second}, {To: 5000, Hold: time.Second}},
			Judge: migration.RampJudge{Failures: migration.OddsLimits{Tolerate: 1.5, Exclude: 3}, Slow: migration.OddsLimits{Tolerate: 2, Exclude: 4}, MaxExtra: 0.005, MinRequests: 600},
			Back:  migration.RampBack{By: 2000, Every: 10 * time.Second},
		},
	}})
	require.NoError(t, err)
	return &proxy{table: table, phase: status.Migrating, evidence: status.Evidence{StartedAt: noon, Services: map[string]status.ServiceEvidence{"shop": {}}}}
}

// requests adds to the counters.
func (p *proxy) requests(old, new, newFailed uint64) {
	shop := p.evidence.Services["shop"]
	shop.Old.Requests += old
	shop.New.Requests, shop.New.Failed = shop.New.Requests+new, shop.New.Failed+newFailed
	p.evidence.Services["shop"] = shop
}

func start(t *testing.T, p *proxy, dir string) *Ramps {
	t.Helper()
	return New(Options{Agent: p, Counters: p, Positions: p, Journal: p, RuntimeDir: dir, Log: slog.New(slog.DiscardHandler)})
}

// TestARampClimbsAndReturns, and a restart at any moment changes nothing.
func TestARampClimbsAndReturns(t *testing.T) {
	t.Parallel()
	for _, restarts := range []bool{false, true} {
		dir, p, now := t.TempDir(), newProxy(t), noon
		r := start(t, p, dir)
		tick := func(old, new, failed uint64) {
			p.requests(old, new, failed)
			now = now.Add(10 * time.Second)
			r.tick(t.Context(), now)
			if restarts {
				before := r.meter
				r = start(t, p, dir)
				r.meter = before
			}
		}
		until := func(share migration.Share, failed uint64) {
			for range 20 {
				if p.share == share {
					return
				}
				tick(9000, 1000, failed)
			}
			require.Equal(t, share, p.share)
		}
		until(500, 0)
		until(2500, 0)
		until(500, 100)
		require.Equal(t, ramp.Cooling, r.states["shop"].Phase)
		moves := map[journal.Kind]bool{}
		for _, entry := range p.journal {
			moves[entry.Kind] = moves[entry.Kind] || entry.Evidence != nil && entry.Evidence.New.Requests > 0
		}
		require.True(t, moves[journal.RampAdvanced] && moves[journal.RampReturned], "with their evidence: %v", p.journal)
	}
}

// TestFallbackAndCeiling stop a ramp.
func TestFallbackAndCeiling(t *testing.T) {
	t.Parallel()
	p := newProxy(t)
	r := start(t, p, t.TempDir())
	r.tick(t.Context(), noon)
	require.Equal(t, migration.Share(500), p.share)
	p.phase = status.FallenBack
	r.tick(t.Context(), noon.Add(10*time.Second))
	require.Equal(t, ramp.ReasonFallenBack, r.states["shop"].Reason)
	p.table = p.table.WithShare("shop", 100)
	r.tick(t.Context(), noon.Add(20*time.Second))
	require.Equal(t, migration.Share(100), p.share)
}

// TestCommands: a person's command is taken once.
func TestCommands(t *testing.T) {
	t.Parallel()
	dir, p := t.TempDir(), newProxy(t)
	r := start(t, p, dir)
	r.tick(t.Context(), noon)
	skip := status.RampCommand{ID: "1", Verb: "skip", Share: 5, By: "ada", At: noon}
	require.ErrorContains(t, WriteCommand(dir, "shop", skip), "a running agent")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "control"), 0o700))
	require.NoError(t, WriteCommand(dir, "shop", skip))
	r.tick(t.Context(), noon.Add(10*time.Second))
	require.Equal(t, migration.Share(2500), p.share)
	r = start(t, p, dir)
	r.tick(t.Context(), noon.Add(20*time.Second))
	require.Equal(t, migration.Share(2500), p.share, "taken already")

	data, err := Read(dir)
	require.NoError(t, err)
	require.Contains(t, data[status.MachineKey], `"shop"`)
	positions, err := status.ParsePositions(data)
	require.NoError(t, err)
	require.InDelta(t, 25, positions.Services["shop"].Share, 0)
}

// TestWhatCannotBeWrittenDidNotHappen.
func TestWhatCannotBeWrittenDidNotHappen(t *testing.T) {
	t.Parallel()
	dir, p := filepath.Join(t.TempDir(), "gone"), newProxy(t)
	r := start(t, p, dir)
	r.tick(t.Context(), noon)
	require.Zero(t, p.share)
	require.NoError(t, os.Mkdir(dir, 0o700))
	r.tick(t.Context(), noon.Add(10*time.Second))
	require.Equal(t, migration.Share(500), p.share)
	require.NoError(t, os.WriteFile(filepath.Join(dir, stateFile), []byte("{"), 0o600))
	require.Empty(t, start(t, p, dir).states, "it begins at 0")
}

// TestWhileNothingCanBeWritten: a ramp in the middle of a step stays, says why, keeps what
// it measures, and goes on when it can write.
func TestWhileNothingCanBeWritten(t *testing.T) {
	t.Parallel()
	dir, p, now := t.TempDir(), newProxy(t), noon
	r := start(t, p, dir)
	tick := func(requests uint64) {
		p.requests(9*requests, requests, 0)
		now = now.Add(10 * time.Second)
		r.tick(t.Context(), now)
	}
	for r.states["shop"].Phase != ramp.Measuring || p.share == 0 {
		tick(0)
	}
	require.Empty(t, r.Problem())

	inTheWay := filepath.Join(dir, stateFile+".tmp")
	require.NoError(t, os.Mkdir(inTheWay, 0o700))
	for range 4 { // the third one would write, the evidence at least
		tick(100)
	}
	require.Contains(t, r.Problem(), "write the ramps")
	require.EqualValues(t, 400, r.states["shop"].Evidence.New.Requests, "what was measured counts")
	for range 5 {
		tick(1000)
	}
	require.Equal(t, migration.Share(500), p.share, "it is good, and cannot rise")
	require.Equal(t, migration.Share(500), stored(t, dir))

	require.NoError(t, os.Remove(inTheWay))
	tick(1000)
	require.Equal(t, migration.Share(2500), p.share)
	require.Equal(t, migration.Share(2500), stored(t, dir))
	require.Empty(t, r.Problem())
}

// stored is the position in the file.
func stored(t *testing.T, dir string) migration.Share {
	t.Helper()
	data, err := Read(dir)
	require.NoError(t, err)
	positions, err := status.ParsePositions(data)
	require.NoError(t, err)
	return migration.ShareOf(positions.Services["shop"].Share)
}

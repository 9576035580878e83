package ramps_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/cli/ramps"
	"github.com/migration-proxy/migration-proxy/internal/cli/waiting"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/journal"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy/localramp"
	"github.com/migration-proxy/migration-proxy/ramp"
)

// quiet is a proxy without requests that serves each position at once.
type quiet struct {
	table *migration.Table
	mu    sync.Mutex
	share float64
}

func (q *quiet) Table() *migration.Table { return q.table }

func (q *quiet) Status() status.Status {
	q.mu.Lock()
	defer q.mu.Unlock()
	return status.Status{Services: []status.Service{{Name: "shop", Share: q.share, Phase: status.Migrating}}}
}

func (q *quiet) Evidence(time.Time) status.Evidence {
	q.mu.Lock()
	defer q.mu.Unlock()
	return status.Evidence{StartedAt: noon, Services: map[string]status.ServiceEvidence{"shop": {Share: q.share}}}
}

func (*quiet) Append(...journal.Entry) {}

func (q *quiet) Set(positions status.Positions) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.share = positions.Services["shop"].Share
}

// TestLocal: commands to the real ramps of a proxy without a cluster.
func TestLocal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := "services:\n" + service("shop", 100) + "- {name: plain, old_host: p.example, old_backend: 'a:80', new_host: b, new_backend: 'b:80'}\n"
	file := filepath.Join(dir, "migration.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "control"), 0o700))
	from := ramps.Local{File: file, RuntimeDir: dir, User: "carol"}
	soon := waiting.Pace{Interval: 20 * time.Millisecond, Timeout: 20 * time.Second}
	var out bytes.Buffer
	send := func(service migration.Name, verb ramp.Verb, pace waiting.Pace) error {
		out.Reset()
		return ramps.Send(t.Context(), &out, from, ramps.Order{Service: service, Verb: verb, Reason: "ticket 7"}, pace)
	}
	wait := func(text string, pace waiting.Pace) error {
		out.Reset()
		goal, err := ramps.ParseGoal("shop", text)
		require.NoError(t, err)
		return ramps.Wait(t.Context(), &out, from, goal, pace)
	}
	short := waiting.Pace{Interval: 20 * time.Millisecond, Timeout: 100 * time.Millisecond}
	require.ErrorContains(t, send("shop", ramp.HoldOn, short), "was not taken within 100ms", "nobody leads")

	proxy := &quiet{table: load(t, service("shop", 100))}
	leader := localramp.New(localramp.Options{
		Agent: proxy, Counters: proxy, Positions: proxy, Journal: proxy, RuntimeDir: dir, Interval: 20 * time.Millisecond, Log: slog.New(slog.DiscardHandler),
	})
	var group sync.WaitGroup
	group.Go(func() { leader.Run(t.Context()) })
	t.Cleanup(group.Wait)

	require.NoError(t, send("shop", ramp.Resume, soon), "after the hold that was left")
	require.NoError(t, wait("step=1", soon))
	require.Contains(t, out.String(), "shop at 1% (of 100%), measuring")
	require.NoError(t, send("shop", ramp.Skip, soon))
	require.Contains(t, out.String(), "skip by carol: shop at 5% (of 100%), ")
	require.NoError(t, wait("step=5", soon))
	require.NoError(t, send("shop", ramp.Back, soon))
	require.Contains(t, out.String(), "back by carol: shop at 1%")
	require.ErrorContains(t, wait("step=25", short), "shop has not reached 25 % within 100ms; it is shop at 1%")
	require.ErrorContains(t, wait("step=100", soon), "the ramp of shop ends at 99 %")
	require.ErrorContains(t, send("plain", ramp.HoldOn, soon), "service plain has no ramp")
	require.ErrorContains(t, send("none", ramp.HoldOn, soon), "the config has no service none; it has plain, shop")
	require.NoError(t, ramps.Show(t.Context(), &out, from, "shop", ramps.Table))
	require.Contains(t, out.String(), "SERVICE")
}

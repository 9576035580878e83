package faults

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// death is the end of one side at some share of the traffic.
type death struct {
	name, share, service string
	dies                 string // "old" or "new"
	old, new             *testbed.Backend
	result               row
}

// TestOneSideDies kills one side while the other lives. What goes to new is
// saved by old; what goes to old cannot be saved, as it could not before.
func TestOneSideDies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var services []string
	var deaths []*death
	for share, text := range map[string]string{"0 %": none, "50 %": half, "100 %": all} {
		for _, dies := range []string{"old", "new"} {
			d := &death{
				name: dies + " is killed at " + share, share: share, service: dies + share[:len(share)-2], dies: dies,
				old: backend(t, testbed.Options{Name: "old"}), new: w.secured("new").Backend,
			}
			deaths = append(deaths, d)
			services = append(services, w.service(d.service, d.old.URL(), d.new.URL(), text, noTrip, patient))
		}
	}
	w.start(services...)
	var done sync.WaitGroup
	for _, d := range deaths {
		done.Go(func() { d.run(w) })
	}
	done.Wait()
	for _, d := range deaths {
		t.Run(d.name, d.judge)
	}
}

func (d *death) run(w *world) {
	clients := w.clients(d.service, rates{get: 40, post: 20, connections: trialConnections})
	clients.flows(20)
	victim := d.new
	if d.dies == "old" {
		victim = d.old
	}
	since := time.Now()
	victim.Kill()
	pause(takes(1500*time.Millisecond, 15*time.Second))
	healed := time.Now()
	require.NoError(w.t, victim.Revive())
	clients.flows(20)
	d.result = clients.end(since, healed, d.old, d.new)
	d.result.group, d.result.name, d.result.says = "2. One side dies", d.name, w.says(d.service)
}

func (d *death) judge(t *testing.T) {
	results.add(t, d.result)
	require.Zero(t, d.result.duplicates, "duplicated POSTs")
	switch {
	case d.dies == "new":
		require.Zero(t, d.result.get.failed, "old lives")
		require.LessOrEqual(t, d.result.post.failed, trialConnections, "those under way")
	case d.share == "100 %":
		require.Zero(t, d.result.get.failed+d.result.post.failed, "nothing depends on old")
	default:
		sent, failed := d.result.get.sent+d.result.post.sent, d.result.get.failed+d.result.post.failed
		require.Positive(t, failed, "old was dead")
		require.GreaterOrEqual(t, sent-failed, d.new.Total(), "what new got was answered")
	}
}

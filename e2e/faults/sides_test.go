package faults

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// sideFailure is the end of one backend at some percentage.
type sideFailure struct {
	name, share, service string
	dies                 string // "old" or "new"
	old, new             *testbed.Backend
	result               row
}

// TestOneSideDies kills one backend while the other works. Old saves the requests to
// new; nothing saves the requests to old, as without the proxy.
func TestOneSideDies(t *testing.T) {
	t.Parallel()
	w := newProxyRun(t)
	var services []string
	var failures []*sideFailure
	for share, text := range map[string]string{"0 %": percent0, "50 %": percent50, "100 %": percent100} {
		for _, dies := range []string{"old", "new"} {
			d := &sideFailure{
				name: dies + " is killed at " + share, share: share, service: dies + share[:len(share)-2], dies: dies,
				old: backend(t, testbed.Options{Name: "old"}), new: w.secured("new").Backend,
			}
			failures = append(failures, d)
			services = append(services, w.service(d.service, d.old.URL(), d.new.URL(), text, noTrip, longTimeout))
		}
	}
	w.start(services...)
	var done sync.WaitGroup
	for _, d := range failures {
		done.Go(func() { d.run(w) })
	}
	done.Wait()
	for _, d := range failures {
		t.Run(d.name, d.check)
	}
}

func (d *sideFailure) run(w *proxyRun) {
	clients := w.clients(d.service, rates{get: 40, post: 20, connections: faultConnections})
	clients.waitForAnswers(20)
	victim := d.new
	if d.dies == "old" {
		victim = d.old
	}
	since := time.Now()
	victim.Kill()
	pause(shortOrLong(1500*time.Millisecond, 15*time.Second))
	healed := time.Now()
	require.NoError(w.t, victim.Revive())
	clients.waitForAnswers(20)
	d.result = clients.finish(since, healed, d.old, d.new)
	d.result.group, d.result.name, d.result.status = "2. One side dies", d.name, w.describeService(d.service)
}

func (d *sideFailure) check(t *testing.T) {
	results.add(t, d.result)
	require.Zero(t, d.result.duplicates, "duplicated POSTs")
	switch {
	case d.dies == "new":
		require.Zero(t, d.result.get.failed, "old works")
		require.LessOrEqual(t, d.result.post.failed, faultConnections, "those in flight")
	case d.share == "100 %":
		require.Zero(t, d.result.get.failed+d.result.post.failed, "nothing depends on old")
	default:
		sent, failed := d.result.get.sent+d.result.post.sent, d.result.get.failed+d.result.post.failed
		require.Positive(t, failed, "old was dead")
		require.GreaterOrEqual(t, sent-failed, d.new.Total(), "what new got was answered")
	}
}

package watcher

import (
	"context"
	"sync/atomic"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/watcher/objects"
)

const (
	// pollInterval is the pause between two polls, fastPollInterval the pause
	// while a new config is on its way to the replicas.
	pollInterval     = time.Second
	fastPollInterval = 100 * time.Millisecond
	// pollTimeout bounds one poll: a replica that hangs must not delay what
	// the others report.
	pollTimeout = time.Second
)

// pollSchedule says when the replicas are polled next.
type pollSchedule struct {
	requested chan struct{} // holds one request
	fast      atomic.Bool
}

func newPollSchedule() *pollSchedule { return &pollSchedule{requested: make(chan struct{}, 1)} }

// pollNow makes the next poll begin at once.
func (s *pollSchedule) pollNow() {
	select {
	case s.requested <- struct{}{}:
	default: // a poll is requested already
	}
}

// setFast chooses between the two intervals, from the next pause on.
func (s *pollSchedule) setFast(fast bool) { s.fast.Store(fast) }

func (s *pollSchedule) wait(ctx context.Context) {
	pause := pollInterval
	if s.fast.Load() {
		pause = fastPollInterval
	}
	select {
	case <-ctx.Done():
	case <-s.requested:
	case <-time.After(pause):
	}
}

// statusPoller fetches the status of all replicas, once a second or when the
// schedule says so, and reports it to the state loop.
type statusPoller struct {
	schedule *pollSchedule
	slices   *kube.Store[*discoveryv1.EndpointSlice] // of the chart's Service
	get      kube.StatusGetter
	report   func(context.Context, []kube.Replica)
}

func (p *statusPoller) run(ctx context.Context) {
	for ctx.Err() == nil {
		p.poll(ctx)
		p.schedule.wait(ctx)
	}
}

func (p *statusPoller) poll(ctx context.Context) {
	timeout, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	replicas := kube.FetchStatuses(timeout, kube.Endpoints(objects.SortedSlices(p.slices)), p.get)
	if ctx.Err() == nil { // else the replicas did not answer because the watcher ends
		p.report(ctx, replicas)
	}
}

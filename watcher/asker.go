package watcher

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/kube"
)

const (
	// calmly is how often the replicas are asked, eagerly how often while a
	// new config is on its way to them.
	calmly  = time.Second
	eagerly = 100 * time.Millisecond
	// patience bounds one round: a replica that hangs must not keep the
	// others' words from being heard.
	patience = time.Second
)

// asker asks all replicas for their status, once a second, and at once when
// it is poked: a config or an endpoint has changed.
type asker struct {
	endpoints func() []kube.Endpoint
	get       kube.StatusGetter
	report    func(context.Context, []kube.Replica)
	eager     atomic.Bool
	poke      chan struct{} // holds one
}

// now makes the next round begin at once.
func (a *asker) now() {
	select {
	case a.poke <- struct{}{}:
	default: // a round is due anyway
	}
}

func (a *asker) run(ctx context.Context) {
	for ctx.Err() == nil {
		a.round(ctx)
		pause := calmly
		if a.eager.Load() {
			pause = eagerly
		}
		select {
		case <-ctx.Done():
		case <-a.poke:
		case <-time.After(pause):
		}
	}
}

func (a *asker) round(ctx context.Context) {
	round, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	replicas := kube.FetchStatuses(round, a.endpoints(), a.get)
	if ctx.Err() == nil { // else it is our own end that nobody answered
		a.report(ctx, replicas)
	}
}

package reconcile

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"

	"github.com/migration-proxy/migration-proxy/internal/kube"
)

const (
	minRetryDelay = 10 * time.Millisecond
	maxRetryDelay = 30 * time.Second
)

// reconciler makes one object, and what belongs to it, equal to the desired
// state.
type reconciler interface {
	// reconcile is repeated after an error.
	reconcile(ctx context.Context, key types.NamespacedName) error
	// failed gets each error that differs from the last one of the object.
	failed(key types.NamespacedName, err error)
}

// Queue is client-go's queue for the objects of one kind. An object is
// never reconciled twice at the same time; after an error it is reconciled
// again for ever, in 10 ms at first and every 30 s in the end.
type Queue struct {
	workqueue.TypedRateLimitingInterface[types.NamespacedName]
	kind     string
	failures *kube.FailureLog
}

func newQueue(kind string, failures *kube.FailureLog) *Queue {
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](minRetryDelay, maxRetryDelay)
	return &Queue{workqueue.NewTypedRateLimitingQueue(limiter), kind, failures}
}

// run reconciles with that many workers until ctx ends.
func (q *Queue) run(ctx context.Context, reconciler reconciler, workers int) {
	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			for q.reconcileNext(ctx, reconciler) {
			}
		})
	}
	<-ctx.Done()
	q.ShutDown()
	running.Wait()
}

func (q *Queue) reconcileNext(ctx context.Context, reconciler reconciler) bool {
	key, ended := q.Get()
	if ended || ctx.Err() != nil {
		return false
	}
	defer q.Done(key)
	err := reconciler.reconcile(ctx, key)
	if ctx.Err() != nil {
		return false
	}
	if q.failures.Report(fmt.Sprintf("%s %v", q.kind, key), err) {
		reconciler.failed(key, err)
	}
	if err != nil {
		q.AddRateLimited(key)
		return true
	}
	q.Forget(key)
	return true
}

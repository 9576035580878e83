package watcher

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"
)

const (
	firstRetry   = 10 * time.Millisecond
	longestRetry = 30 * time.Second
)

// work is a queue of names and what is done for each. A name that is queued
// twice is worked on once, never by two at the same time; what fails is tried
// again for ever, after 10 ms at first and every 30 s in the end.
type work[K comparable] struct {
	queue  workqueue.TypedRateLimitingInterface[K]
	do     func(context.Context, K) error
	faults *faults
}

func newWork[K comparable](faults *faults, do func(context.Context, K) error) *work[K] {
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[K](firstRetry, longestRetry)
	return &work[K]{queue: workqueue.NewTypedRateLimitingQueue(limiter), do: do, faults: faults}
}

// run works, that many at once, until ctx ends.
func (w *work[K]) run(ctx context.Context, atOnce int) {
	var working sync.WaitGroup
	for range atOnce {
		working.Go(func() {
			for w.next(ctx) {
			}
		})
	}
	<-ctx.Done()
	w.queue.ShutDown()
	working.Wait()
}

func (w *work[K]) next(ctx context.Context) bool {
	name, ended := w.queue.Get()
	if ended || ctx.Err() != nil {
		return false
	}
	defer w.queue.Done(name)
	err := w.do(ctx, name)
	if ctx.Err() != nil {
		return false
	}
	w.faults.tell(fmt.Sprint(name), err)
	if err != nil {
		w.queue.AddRateLimited(name)
		return true
	}
	w.queue.Forget(name)
	return true
}

// faults says what goes wrong once, and once that it is over, however often
// it is tried in between.
type faults struct {
	log *slog.Logger

	mu    sync.Mutex
	known map[string]string
}

func newFaults(log *slog.Logger) *faults { return &faults{log: log, known: map[string]string{}} }

// tell takes the outcome of a try for a subject. It gives true when the error
// is news.
func (f *faults) tell(subject string, err error) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	before, failed := f.known[subject]
	switch {
	case err == nil && failed:
		delete(f.known, subject)
		f.log.Info("Works again", "subject", subject)
	case err != nil && before != err.Error():
		f.known[subject] = err.Error()
		f.log.Warn("Cannot be done now, trying again", "subject", subject, "error", err)
		return true
	}
	return false
}

// count is how many subjects fail now.
func (f *faults) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.known)
}

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
	what   string // kind, for messages
	queue  workqueue.TypedRateLimitingInterface[K]
	do     func(context.Context, K) error
	failed func(K, error) // hears an error that is news
	faults *faults
}

func newWork[K comparable](what string, faults *faults, do func(context.Context, K) error) *work[K] {
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[K](firstRetry, longestRetry)
	return &work[K]{what: what, queue: workqueue.NewTypedRateLimitingQueue(limiter), do: do, failed: func(K, error) {}, faults: faults}
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
	if w.faults.report(fmt.Sprintf("%s %v", w.what, name), err) {
		w.failed(name, err)
	}
	if err != nil {
		w.queue.AddRateLimited(name)
		return true
	}
	w.queue.Forget(name)
	return true
}

const (
	// mostSaid is how many failing objects have log lines of their own; the
	// metric watcher_failing counts all.
	mostSaid = 5
	// races is how often in a row an object may have changed meanwhile until
	// that is said: with users and tools at work, once or twice is nothing.
	races = 4
)

// faults says what goes wrong once, and once that it is over, however often
// it is tried in between.
type faults struct {
	log *slog.Logger

	mu    sync.Mutex
	known map[string]*fault
	said  int // how many of them were logged
}

type fault struct {
	text  string
	races int
	said  bool
}

func newFaults(log *slog.Logger) *faults { return &faults{log: log, known: map[string]*fault{}} }

// report takes the outcome of a try for a subject. It gives true when the error
// is news.
func (f *faults) report(subject string, err error) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		f.over(subject)
		return false
	}
	known := f.known[subject]
	if known == nil {
		known = &fault{}
		f.known[subject] = known
	}
	if changedMeanwhile(err) && known.races < races {
		known.races++
		return false
	}
	news := known.text != err.Error()
	known.text = err.Error()
	if news {
		f.say(subject, known)
	}
	return news
}

func (f *faults) say(subject string, is *fault) {
	if !is.said && f.said == mostSaid {
		f.log.Debug("Cannot be done now, trying again", "subject", subject, "error", is.text)
		return
	}
	if !is.said {
		is.said = true
		f.said++
	}
	f.log.Warn("Cannot be done now, trying again", "subject", subject, "error", is.text)
	if f.said == mostSaid {
		f.log.Warn("More that fails now is only counted, by metric migration_proxy_watcher_failing")
	}
}

func (f *faults) over(subject string) {
	known := f.known[subject]
	if known == nil {
		return
	}
	delete(f.known, subject)
	if known.said {
		f.said--
		f.log.Info("Works again", "subject", subject)
	}
}

// count is how many subjects fail now.
func (f *faults) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.known)
}

package kube

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// Client is the part of a typed client that Follow needs.
type Client[L runtime.Object] interface {
	List(context.Context, metav1.ListOptions) (L, error)
	Watch(context.Context, metav1.ListOptions) (watch.Interface, error)
}

// Source says which objects are followed: all that a client of one kind and
// the selectors match. An empty selector matches all objects.
type Source[L runtime.Object] struct {
	Client         Client[L]
	Labels, Fields string
}

// Follow keeps a Store equal to the cluster until ctx ends, and calls the
// observer with each change.
func Follow[T metav1.Object, L runtime.Object](ctx context.Context, store *Store[T], source Source[L], observer Observer[T]) {
	store.observer = observer
	runReflector(ctx, store.name, store, &lister[L]{source, store.failures, "follow " + store.name})
}

func runReflector[L runtime.Object](ctx context.Context, name string, store cache.ReflectorStore, from *lister[L]) {
	lists := &cache.ListWatch{ListWithContextFunc: from.list, WatchFuncWithContext: from.watch}
	options := cache.ReflectorOptions{Name: name, TypeDescription: name, Backoff: retryBackoff()}
	cache.NewReflectorWithOptions(lists, nil, store, options).RunWithContext(ctx)
}

// retryBackoff is how long a reflector waits before it asks an API server
// again that failed: 100 ms at first, and at most two to three seconds. The
// reflector's default goes up to a minute, in which a corrected percentage
// would not arrive; informers cannot be given another.
func retryBackoff() *wait.Backoff {
	return &wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Cap: 2 * time.Second, Steps: 10, Jitter: 0.5}
}

// lister lists and watches for a reflector, and reports how that goes.
type lister[L runtime.Object] struct {
	source   Source[L]
	failures FailureReporter
	subject  string // "follow ingresses"
}

func (l *lister[L]) list(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	list, err := l.source.Client.List(ctx, l.selected(options))
	l.report(ctx, err)
	return list, err
}

func (l *lister[L]) watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	events, err := l.source.Client.Watch(ctx, l.selected(options))
	l.report(ctx, err)
	return events, err
}

func (l *lister[L]) selected(options metav1.ListOptions) metav1.ListOptions {
	options.LabelSelector, options.FieldSelector = l.source.Labels, l.source.Fields
	return options
}

// report skips the answers that are part of the protocol. API servers before
// 1.32 answer Invalid to a watch that begins with a list; all answer Expired
// to a watch from a version that is too old. The reflector then lists.
func (l *lister[L]) report(ctx context.Context, err error) {
	if ctx.Err() != nil || apierrors.IsInvalid(err) || apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
		return
	}
	l.failures.Report(l.subject, err)
}

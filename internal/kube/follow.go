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

// Selector says which objects are followed; the zero value selects all.
type Selector struct{ Labels, Fields string }

func (s Selector) options(options metav1.ListOptions) metav1.ListOptions {
	options.LabelSelector, options.FieldSelector = s.Labels, s.Fields
	return options
}

// Follow keeps a Store equal to the cluster until ctx ends, and calls the
// observer with each change.
func Follow[T metav1.Object, L runtime.Object](ctx context.Context, store *Store[T], client Client[L], selector Selector, observer Observer[T]) {
	store.observer = observer
	runReflector(ctx, store.name, store, &source[L]{
		client: client, selector: selector, failures: store.failures, subject: "follow " + store.name,
	})
}

func runReflector[L runtime.Object](ctx context.Context, name string, store cache.ReflectorStore, from *source[L]) {
	lists := &cache.ListWatch{ListWithContextFunc: from.list, WatchFuncWithContext: from.watch}
	options := cache.ReflectorOptions{Name: name, TypeDescription: name, Backoff: RetryBackoff()}
	cache.NewReflectorWithOptions(lists, nil, store, options).RunWithContext(ctx)
}

// RetryBackoff is how long a reflector waits before it asks an API server
// again that failed: 100 ms at first, and at most two to three seconds. The
// reflector's default goes up to a minute, in which a corrected percentage
// would not arrive; informers cannot be given another.
func RetryBackoff() *wait.Backoff {
	return &wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Cap: 2 * time.Second, Steps: 10, Jitter: 0.5}
}

// source lists and watches, and reports how that goes.
type source[L runtime.Object] struct {
	client   Client[L]
	selector Selector
	failures FailureReporter
	subject  string // "follow ingresses"
}

func (s *source[L]) list(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	list, err := s.client.List(ctx, s.selector.options(options))
	s.report(ctx, err)
	return list, err
}

func (s *source[L]) watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	events, err := s.client.Watch(ctx, s.selector.options(options))
	s.report(ctx, err)
	return events, err
}

// report skips the answers that are part of the protocol. API servers before
// 1.32 answer Invalid to a watch that begins with a list; all answer Expired
// to a watch from a version that is too old. The reflector then lists.
func (s *source[L]) report(ctx context.Context, err error) {
	if ctx.Err() != nil || apierrors.IsInvalid(err) || apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
		return
	}
	s.failures.Report(s.subject, err)
}

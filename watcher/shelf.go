package watcher

import (
	"context"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// shelf holds the newest known version of all objects of one kind. It is a
// store under a client-go reflector, and not a shared informer, for two
// reasons: that one waits up to a minute before it asks an API server again
// that was away, and has no setting for it; and it queues each object twice.
type shelf[T metav1.Object] struct {
	what    string              // for messages: "ingresses"
	trim    func(T)             // takes away, before it is kept, what is not needed
	told    func(before, now T) // each change, in order; the zero T: not there
	trouble func(what string, err error)

	filled chan struct{} // closed when the first list is in

	mu          sync.RWMutex
	full        bool
	byNamespace map[string]map[string]T
}

func newShelf[T metav1.Object](what string) *shelf[T] {
	return &shelf[T]{
		what: what, filled: make(chan struct{}), byNamespace: map[string]map[string]T{},
		trim: func(T) {}, told: func(T, T) {}, trouble: func(string, error) {},
	}
}

// get gives an object, or the zero T. Nobody may change it.
func (s *shelf[T]) get(key types.NamespacedName) T {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byNamespace[key.Namespace][key.Name]
}

// in gives all objects of a namespace, in no order.
func (s *shelf[T]) in(namespace string) []T {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make([]T, 0, len(s.byNamespace[namespace]))
	for _, object := range s.byNamespace[namespace] {
		all = append(all, object)
	}
	return all
}

// again is how long a failed list or watch waits: soon after a blip, and never
// more than three seconds.
func again() *wait.Backoff {
	return &wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Cap: 2 * time.Second, Steps: 10, Jitter: 0.5}
}

// client is the part of a typed client that a reflector needs.
type client[L runtime.Object] interface {
	List(context.Context, metav1.ListOptions) (L, error)
	Watch(context.Context, metav1.ListOptions) (watch.Interface, error)
}

// selection is which objects are followed; empty: all.
type selection struct{ labels, fields string }

func (s selection) of(options metav1.ListOptions) metav1.ListOptions {
	options.LabelSelector, options.FieldSelector = s.labels, s.fields
	return options
}

// follow keeps a shelf filled until ctx ends.
func follow[T metav1.Object, L runtime.Object](ctx context.Context, s *shelf[T], source client[L], of selection) {
	lists := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			list, err := source.List(ctx, of.of(options))
			s.trouble(s.what, err)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			events, err := source.Watch(ctx, of.of(options))
			s.trouble(s.what, err)
			return events, err
		},
	}
	cache.NewReflectorWithOptions(lists, nil, s, cache.ReflectorOptions{
		Name: s.what, TypeDescription: s.what, Backoff: again(),
	}).RunWithContext(ctx)
}

// Transformer implements cache.TransformingStore: also the reflector's own
// store, during the first list, holds trimmed objects only.
func (s *shelf[T]) Transformer() cache.TransformFunc {
	return func(object any) (any, error) {
		if kept, ok := object.(T); ok {
			s.trim(kept)
		}
		return object, nil
	}
}

// Add implements cache.ReflectorStore.
func (s *shelf[T]) Add(object any) error { return s.Update(object) }

// Update implements cache.ReflectorStore.
func (s *shelf[T]) Update(object any) error {
	now, ok := object.(T)
	if !ok {
		return fmt.Errorf("follow %s: got a %T", s.what, object)
	}
	s.trim(now)
	if before, newer := s.put(now); newer {
		s.told(before, now)
	}
	return nil
}

// learn takes what the API server answered to our own write, so that the next
// one does not begin with an older version. The watch brings it again.
func (s *shelf[T]) learn(object T) {
	s.trim(object)
	s.put(object)
}

// Delete implements cache.ReflectorStore.
func (s *shelf[T]) Delete(object any) error {
	gone, ok := object.(T)
	if !ok {
		return fmt.Errorf("follow %s: got a %T", s.what, object)
	}
	var none T
	s.told(s.take(keyOf(gone)), none)
	return nil
}

// Replace implements cache.ReflectorStore.
func (s *shelf[T]) Replace(objects []any, _ string) error {
	gone := s.all()
	for _, object := range objects {
		if now, ok := object.(T); ok {
			delete(gone, keyOf(now))
			_ = s.Update(now) // it is a T
		}
	}
	for _, object := range gone {
		_ = s.Delete(object) // it is a T
	}
	if !s.full { // only the reflector's goroutine comes here
		s.full = true
		close(s.filled)
	}
	return nil
}

// Resync implements cache.ReflectorStore.
func (s *shelf[T]) Resync() error { return nil }

// put keeps an object, unless a newer version is known.
func (s *shelf[T]) put(object T) (before T, newer bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	namespace := s.byNamespace[object.GetNamespace()]
	if namespace == nil {
		namespace = map[string]T{}
		s.byNamespace[object.GetNamespace()] = namespace
	}
	before, known := namespace[object.GetName()]
	if known && older(object.GetResourceVersion(), before.GetResourceVersion()) {
		return before, false
	}
	namespace[object.GetName()] = object
	return before, true
}

func older(version, than string) bool {
	order, err := resourceversion.CompareResourceVersion(version, than)
	return err == nil && order < 0
}

func (s *shelf[T]) take(key types.NamespacedName) (before T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before = s.byNamespace[key.Namespace][key.Name]
	delete(s.byNamespace[key.Namespace], key.Name)
	if len(s.byNamespace[key.Namespace]) == 0 {
		delete(s.byNamespace, key.Namespace)
	}
	return before
}

func (s *shelf[T]) all() map[types.NamespacedName]T {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := map[types.NamespacedName]T{}
	for _, namespace := range s.byNamespace {
		for _, object := range namespace {
			all[keyOf(object)] = object
		}
	}
	return all
}

func keyOf(object metav1.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}
}

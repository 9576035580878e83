package watcher

import (
	"context"
	"fmt"
	"maps"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/migration-proxy/migration-proxy/internal/kube"
)

// shelf holds the newest known version of all objects of one kind. It is a
// store under a client-go reflector, and not a shared informer, for two
// reasons: that one waits up to a minute before it asks an API server again
// that was away, and has no setting for it; and it queues each object twice.
type shelf[T metav1.Object] struct {
	what    string              // for messages: "ingresses"
	trim    func(T)             // takes away, before it is kept, what is not needed
	changed func(before, now T) // each change, in order; the zero T: not there
	trouble func(what string, err error)

	filled chan struct{} // closed when the first list is in

	mu          sync.RWMutex
	full        bool
	byNamespace map[string]map[string]T
	seen        string                 // the version that the watch has come to
	deleted     map[types.UID]struct{} // by us, which the watch has not come to
}

func newShelf[T metav1.Object](what string) *shelf[T] {
	return &shelf[T]{
		what: what, filled: make(chan struct{}), byNamespace: map[string]map[string]T{}, deleted: map[types.UID]struct{}{},
		trim: func(T) {}, changed: func(T, T) {}, trouble: func(string, error) {},
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
		Name: s.what, TypeDescription: s.what, Backoff: kube.RetryBackoff(),
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
	if before, newer := s.put(now, true); newer {
		s.changed(before, now)
	}
	return nil
}

// learn takes what the API server answered to our own write, so that the next
// one does not begin with an older version. The watch brings it again, or has
// come further already.
func (s *shelf[T]) learn(object T) {
	s.trim(object)
	s.put(object, false)
}

// forget takes away what we have deleted. The watch says so later, and what it
// still brings of the object until then is no news.
func (s *shelf[T]) forget(object T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found, ok := s.byNamespace[object.GetNamespace()][object.GetName()]; ok && found.GetUID() == object.GetUID() {
		s.deleted[object.GetUID()] = struct{}{}
		s.remove(keyOf(object))
	}
}

// Delete implements cache.ReflectorStore.
func (s *shelf[T]) Delete(object any) error {
	gone, ok := object.(T)
	if !ok {
		return fmt.Errorf("follow %s: got a %T", s.what, object)
	}
	if s.take(gone) {
		var none T
		s.changed(gone, none)
	}
	return nil
}

// Replace implements cache.ReflectorStore.
func (s *shelf[T]) Replace(objects []any, version string) error {
	gone, listed := s.all(), map[types.UID]struct{}{}
	for _, object := range objects {
		if now, ok := object.(T); ok {
			delete(gone, keyOf(now))
			listed[now.GetUID()] = struct{}{}
			_ = s.Update(now) // it is a T
		}
	}
	for _, object := range gone {
		if !older(version, object.GetResourceVersion()) { // else it was made since the list
			_ = s.Delete(object) // it is a T
		}
	}
	s.listed(version, listed)
	if !s.full { // only the reflector's goroutine comes here
		s.full = true
		close(s.filled)
	}
	return nil
}

// Resync implements cache.ReflectorStore.
func (s *shelf[T]) Resync() error { return nil }

// listed: nobody will say any more that what is not in the list is gone.
func (s *shelf[T]) listed(version string, uids map[types.UID]struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = version
	maps.DeleteFunc(s.deleted, func(uid types.UID, _ struct{}) bool {
		_, ok := uids[uid]
		return !ok
	})
}

// put keeps an object, unless a newer version is known, or the watch, which it
// does not come from, has come to a later one.
func (s *shelf[T]) put(object T, watched bool) (before T, newer bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	version := object.GetResourceVersion()
	before, known := s.byNamespace[object.GetNamespace()][object.GetName()]
	_, deleted := s.deleted[object.GetUID()]
	if deleted || known && older(version, before.GetResourceVersion()) || !watched && older(version, s.seen) {
		return before, false
	}
	if watched {
		s.see(version)
	}
	if s.byNamespace[object.GetNamespace()] == nil {
		s.byNamespace[object.GetNamespace()] = map[string]T{}
	}
	s.byNamespace[object.GetNamespace()][object.GetName()] = object
	return before, true
}

// see notes how far the watch has come: the versions of all objects of one kind
// are in one order.
func (s *shelf[T]) see(version string) {
	if s.seen == "" || older(s.seen, version) {
		s.seen = version
	}
}

func older(version, than string) bool {
	order, err := resourceversion.CompareResourceVersion(version, than)
	return err == nil && order < 0
}

// take removes what the watch says is gone, and tells whether nothing newer of
// that name is known.
func (s *shelf[T]) take(gone T) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.see(gone.GetResourceVersion())
	delete(s.deleted, gone.GetUID())
	found, known := s.byNamespace[gone.GetNamespace()][gone.GetName()]
	if known && older(gone.GetResourceVersion(), found.GetResourceVersion()) {
		return false
	}
	s.remove(keyOf(gone))
	return true
}

func (s *shelf[T]) remove(key types.NamespacedName) {
	delete(s.byNamespace[key.Namespace], key.Name)
	if len(s.byNamespace[key.Namespace]) == 0 {
		delete(s.byNamespace, key.Namespace)
	}
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

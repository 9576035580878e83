package kube

import (
	"fmt"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/tools/cache"
)

// Observer is called with each change of an object in a Store, in order and by
// one goroutine. It is not called for ObserveWrite and ObserveDelete, but for
// the watch event that follows them.
type Observer[T metav1.Object] interface {
	// Changed gets the object before and after the change. The zero T means
	// that it does not exist.
	Changed(before, after T)
}

// Store holds the newest known version of all objects of one kind. A client-go
// reflector fills it (Follow). A program that writes such objects adds its own
// writes and deletes, which are visible at once; a watch event that is older
// does not undo them. Objects in the Store must not be changed.
//
// client-go's MutationCache does the same for writes only: it cannot represent
// a delete, and it forgets a write after a fixed time, however long the watch
// is interrupted.
type Store[T metav1.Object] struct {
	name     string
	trim     func(T)
	failures FailureReporter
	observer Observer[T]
	indexer  cache.Indexer
	listed   chan struct{}

	mu sync.Mutex // makes one step of comparing versions and storing
	// watched is the resource version up to which the watch has come. The
	// versions of all objects of one kind are in one order.
	watched string
	// deleted has the objects that this program deleted, until the watch
	// delivers the deletion.
	deleted map[types.UID]struct{}
	// restored is set during a list that is older than the watch: the API
	// server's data was restored from a backup, so the list replaces everything.
	restored bool
}

// NewStore makes an empty Store. The name of the kind ("ingresses") is for log
// lines; trim removes from an object, before it is stored, what the program
// does not need; failures gets the result of each list and watch request.
func NewStore[T metav1.Object](name string, trim func(T), failures FailureReporter) *Store[T] {
	return &Store[T]{
		name: name, trim: trim, failures: failures, listed: make(chan struct{}), deleted: map[types.UID]struct{}{},
		indexer: cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{}),
	}
}

// IndexBy makes By find objects by the values that this function gives for them.
// It must be called before the Store is filled.
func (s *Store[T]) IndexBy(index string, values func(T) []string) {
	_ = s.indexer.AddIndexers(cache.Indexers{index: func(object any) ([]string, error) { // no error: the name is new
		one, _ := object.(T)
		return values(one), nil
	}})
}

// By returns the objects with a value in an index, in no order.
func (s *Store[T]) By(index, value string) []T {
	objects, _ := s.indexer.ByIndex(index, value) // the index exists
	return typed[T](objects)
}

// Listed is closed when the Store has the objects of the first list.
func (s *Store[T]) Listed() <-chan struct{} { return s.listed }

// Get returns an object, or the zero T if there is none.
func (s *Store[T]) Get(key types.NamespacedName) T {
	object, _ := s.get(key)
	return object
}

func (s *Store[T]) get(key types.NamespacedName) (object T, exists bool) {
	found, exists, _ := s.indexer.GetByKey(cache.ObjectName(key).String()) // an Indexer in memory returns no error
	object, _ = found.(T)
	return object, exists
}

// List returns all objects, in no order.
func (s *Store[T]) List() []T { return typed[T](s.indexer.List()) }

func typed[T any](objects []any) []T {
	list := make([]T, 0, len(objects))
	for _, object := range objects {
		if one, ok := object.(T); ok {
			list = append(list, one)
		}
	}
	return list
}

// ObserveWrite stores what the API server returned for a create or an update,
// unless the watch has already delivered a later state.
func (s *Store[T]) ObserveWrite(written T) {
	s.trim(written)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !older(written.GetResourceVersion(), s.watched) {
		s.put(written)
	}
}

// ObserveDelete removes an object that this program has deleted. The watch
// delivers the deletion later; until then, its events on the object are stale.
func (s *Store[T]) ObserveDelete(object T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stored, exists := s.get(KeyOf(object)); exists && stored.GetUID() == object.GetUID() {
		s.deleted[object.GetUID()] = struct{}{}
		_ = s.indexer.Delete(object) // the key function returns no error for a metav1.Object
	}
}

// Add implements cache.ReflectorStore.
func (s *Store[T]) Add(object any) error { return s.Update(object) }

// Update implements cache.ReflectorStore.
func (s *Store[T]) Update(object any) error {
	after, ok := object.(T)
	if !ok {
		return fmt.Errorf("store %s: got a %T", s.name, object)
	}
	s.trim(after)
	if before, stored := s.putWatched(after); stored {
		s.observer.Changed(before, after)
	}
	return nil
}

// Delete implements cache.ReflectorStore.
func (s *Store[T]) Delete(object any) error {
	gone, ok := object.(T)
	if !ok {
		return fmt.Errorf("store %s: got a %T", s.name, object)
	}
	if s.deleteWatched(gone) {
		var none T
		s.observer.Changed(gone, none)
	}
	return nil
}

// Replace implements cache.ReflectorStore.
func (s *Store[T]) Replace(objects []any, version string) error {
	restored := s.beginList(version)
	gone := map[types.NamespacedName]T{}
	for _, object := range s.List() {
		gone[KeyOf(object)] = object
	}
	listed := map[types.UID]struct{}{}
	for _, object := range typed[T](objects) {
		delete(gone, KeyOf(object))
		listed[object.GetUID()] = struct{}{}
		_ = s.Update(object) // it is a T
	}
	for _, object := range gone {
		if restored || !older(version, object.GetResourceVersion()) { // else this program wrote it after the list
			_ = s.Delete(object) // it is a T
		}
	}
	s.finishList(version, listed)
	return nil
}

// Resync implements cache.ReflectorStore.
func (s *Store[T]) Resync() error { return nil }

// Transformer implements cache.TransformingStore: the reflector's temporary
// store of the first list holds trimmed objects, too.
func (s *Store[T]) Transformer() cache.TransformFunc {
	return func(object any) (any, error) {
		if one, ok := object.(T); ok {
			s.trim(one)
		}
		return object, nil
	}
}

// beginList compares the version of a list with that of the watch.
func (s *Store[T]) beginList(version string) (restored bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.restored = older(version, s.watched)
	if s.restored {
		s.watched, s.deleted = "", map[types.UID]struct{}{}
	}
	return s.restored
}

// finishList ends a list. The watch goes on after it, so it delivers no
// deletion of an object that is not in the list.
func (s *Store[T]) finishList(version string, listed map[types.UID]struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watched, s.restored = version, false
	for uid := range s.deleted {
		if _, ok := listed[uid]; !ok {
			delete(s.deleted, uid)
		}
	}
	select {
	case <-s.listed:
	default:
		close(s.listed)
	}
}

func (s *Store[T]) putWatched(object T) (before T, stored bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, stored = s.put(object)
	if stored {
		s.advance(object.GetResourceVersion())
	}
	return before, stored
}

// put stores an object unless a newer version is known, or this program has
// deleted it.
func (s *Store[T]) put(object T) (before T, stored bool) {
	before, exists := s.get(KeyOf(object))
	if _, deleted := s.deleted[object.GetUID()]; deleted {
		return before, false
	}
	if exists && !s.restored && older(object.GetResourceVersion(), before.GetResourceVersion()) {
		return before, false
	}
	_ = s.indexer.Update(object) // the key function returns no error for a metav1.Object
	return before, true
}

// deleteWatched removes an object that the watch reports as deleted. It
// returns false if this program has made a newer one of the same name.
func (s *Store[T]) deleteWatched(gone T) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance(gone.GetResourceVersion())
	delete(s.deleted, gone.GetUID())
	if stored, exists := s.get(KeyOf(gone)); exists && older(gone.GetResourceVersion(), stored.GetResourceVersion()) {
		return false
	}
	_ = s.indexer.Delete(gone) // the key function returns no error for a metav1.Object
	return true
}

func (s *Store[T]) advance(version string) {
	if s.watched == "" || older(s.watched, version) {
		s.watched = version
	}
}

// older compares two resource versions; false if one of them is not a number.
func older(version, than string) bool {
	order, err := resourceversion.CompareResourceVersion(version, than)
	return err == nil && order < 0
}

// Older reports whether a is an older version of the same object than b.
func Older(a, b metav1.Object) bool { return older(a.GetResourceVersion(), b.GetResourceVersion()) }

// KeyOf is the namespace and name of an object.
func KeyOf(object metav1.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}
}

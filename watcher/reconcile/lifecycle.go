package reconcile

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// serviceLifecycle is what the reconciler remembers of one Service, between
// the moment when it makes the Service and the one when it removes it. Only the
// goroutine that holds the lock makes or removes the Service: one that an
// Ingress is about to point at must not be removed in between.
type serviceLifecycle struct {
	sync.Mutex
	created       time.Time // of the newest of the Service and its anchors
	unneededSince time.Time // since when no Ingress needs it; zero: one does
}

// settling is how much longer the Service must exist until an Ingress that
// does not point at it yet may do so. An ingress controller has three watches,
// for Ingresses, Services and EndpointSlices. One that receives the Ingress
// first answers 503 until it looks again, which for ingress-nginx may take 3 s.
func (l *serviceLifecycle) settling(notice time.Duration) time.Duration {
	return max(notice-time.Since(l.created), 0)
}

// sawCreation notes when an object was created by a watcher before this one. The
// API server gives whole seconds.
func (l *serviceLifecycle) sawCreation(created time.Time) {
	if created = created.Add(time.Second); created.After(l.created) && created.Before(time.Now()) {
		l.created = created
	}
}

// serviceLifecycles are those of all Services.
type serviceLifecycles struct {
	mu        sync.Mutex
	byService map[types.NamespacedName]*serviceLifecycle
}

func newServiceLifecycles() *serviceLifecycles {
	return &serviceLifecycles{byService: map[types.NamespacedName]*serviceLifecycle{}}
}

// lock returns the lifecycle of a Service, locked.
func (l *serviceLifecycles) lock(service types.NamespacedName) *serviceLifecycle {
	for {
		lifecycle := l.get(service)
		lifecycle.Lock()
		if l.get(service) == lifecycle {
			return lifecycle
		}
		lifecycle.Unlock() // it was removed meanwhile
	}
}

func (l *serviceLifecycles) get(service types.NamespacedName) *serviceLifecycle {
	l.mu.Lock()
	defer l.mu.Unlock()
	lifecycle := l.byService[service]
	if lifecycle == nil {
		lifecycle = &serviceLifecycle{}
		l.byService[service] = lifecycle
	}
	return lifecycle
}

// remove ends a lifecycle: the Service is gone. The caller holds its lock.
func (l *serviceLifecycles) remove(service types.NamespacedName) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.byService, service)
}

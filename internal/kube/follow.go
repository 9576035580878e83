package kube

import (
	"context"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// Object is one named ConfigMap.
type Object struct {
	Client          kubernetes.Interface
	Namespace, Name string
	Log             *slog.Logger
	// Trouble, if set, hears each failed attempt to list or watch, from the
	// goroutine that calls take: the API server cannot be reached, or refuses.
	// Follow goes on trying.
	Trouble func(error)
}

// String is "NAMESPACE/NAME", as messages call the object.
func (o Object) String() string { return o.Namespace + "/" + o.Name }

// Again is how long to wait before an API server that failed is asked to list
// or watch again: soon after a blip, and at most every two to three seconds (the
// reflector's own default goes up to a minute, in which a fixed percentage
// would not arrive).
func Again() *wait.Backoff {
	return &wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Cap: 2 * time.Second, Steps: 10, Jitter: 0.5}
}

// Follow calls take with each version of the ConfigMap, in order and from one
// goroutine, and with nil when it does not exist. The first call comes when
// the API server has answered. Versions that were overwritten while the API
// server was away are not seen; a version that was taken is not taken again.
// What take gets is its own to keep, not to change. Follow blocks until ctx
// ends, and then returns nil with nothing left behind.
func (o Object) Follow(ctx context.Context, take func(*corev1.ConfigMap)) error {
	source := &source{object: o, selector: fields.OneTermEqualSelector(metav1.ObjectNameField, o.Name).String()}
	reflector := cache.NewReflectorWithOptions(source.listWatch(), &corev1.ConfigMap{}, &latest{take: take},
		cache.ReflectorOptions{Name: "configmap " + o.String(), Backoff: Again()})
	reflector.RunWithContext(ctx)
	return nil
}

// source asks the API server, and tells how that goes.
type source struct {
	object   Object
	selector string
	away     bool // the last attempt failed
}

func (s *source) listWatch() *cache.ListWatch {
	configMaps := s.object.Client.CoreV1().ConfigMaps(s.object.Namespace)
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			options.FieldSelector = s.selector
			list, err := configMaps.List(ctx, options)
			return list, s.told(ctx, err)
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			options.FieldSelector = s.selector
			events, err := configMaps.Watch(ctx, options)
			return events, s.told(ctx, err)
		},
	}
}

// told passes an outcome on. The log has a line when the trouble begins and
// one when it ends. Invalid is what API servers before 1.32 say to a watch
// that begins with a list, expired what any says to a version that is too old
// to go on from: both are followed by a plain list.
func (s *source) told(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil, apierrors.IsInvalid(err), apierrors.IsResourceExpired(err), apierrors.IsGone(err):
	case err != nil:
		if !s.away {
			s.object.Log.Warn("The ConfigMap cannot be followed, what was known of it stays; trying on", "configmap", s.object.String(), "error", err)
		}
		s.away = true
		if s.object.Trouble != nil {
			s.object.Trouble(err)
		}
	case s.away:
		s.away = false
		s.object.Log.Info("The ConfigMap is followed again", "configmap", s.object.String())
	}
	return err
}

// latest is the reflector's store: it keeps nothing and hands on what is news.
type latest struct {
	take    func(*corev1.ConfigMap)
	taken   bool
	version string // of what was taken last; "" is none
}

// Add implements cache.ReflectorStore.
func (l *latest) Add(object any) error { return l.Update(object) }

// Update implements cache.ReflectorStore.
func (l *latest) Update(object any) error {
	configMap, ok := object.(*corev1.ConfigMap)
	if !ok {
		return nil // the reflector has checked
	}
	l.news(configMap, string(configMap.UID)+"/"+configMap.ResourceVersion)
	return nil
}

// Delete implements cache.ReflectorStore.
func (l *latest) Delete(any) error {
	l.news(nil, "")
	return nil
}

// Replace implements cache.ReflectorStore: what a list has, also the first.
func (l *latest) Replace(objects []any, _ string) error {
	if len(objects) == 0 {
		return l.Delete(nil)
	}
	return l.Update(objects[0])
}

// Resync implements cache.ReflectorStore.
func (l *latest) Resync() error { return nil }

func (l *latest) news(configMap *corev1.ConfigMap, version string) {
	if l.taken && version == l.version {
		return
	}
	l.taken, l.version = true, version
	l.take(configMap)
}

package watcher

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/excerpt"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

// The reasons of our Events.
const (
	// On the ConfigMap.
	EventAccepted    = "ConfigAccepted"
	EventRejected    = "ConfigRejected"
	EventReplica     = "ReplicaRejectsConfig"
	EventStateTooBig = "LastGoodNotKept"
	// On an Ingress.
	EventRewritten    = "Rewritten"
	EventRestored     = "Restored"
	EventFellBack     = "FellBack"
	EventRecovered    = "Recovered"
	EventBypassed     = "Bypassed"
	EventNotRewritten = "NotRewritten"          // warnings, which may be why
	EventWarnings     = "RewrittenWithWarnings" // what its user should know of it nevertheless
	EventRefused      = "WriteRefused"
)

// note is an Event to be: what is said, and how loudly.
type note struct{ kind, reason, text string }

// eventWriter writes Events. They are the cluster's log for people: one that is lost
// is not repeated.
type eventWriter struct {
	recorder events.EventRecorder
	stop     func()
}

func newEventWriter(ctx context.Context, client kubernetes.Interface) (*eventWriter, error) {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx)) // stop ends it, after the last words
	sink := &sink{EventSinkImpl: events.EventSinkImpl{Interface: client.EventsV1()}}
	broadcaster := events.NewBroadcaster(sink)
	if err := broadcaster.StartRecordingToSinkWithContext(own); err != nil {
		cancel()
		return nil, fmt.Errorf("write Events: %w", err)
	}
	return &eventWriter{recorder: broadcaster.NewRecorder(scheme.Scheme, names.Manager), stop: func() {
		sink.drain()
		broadcaster.Shutdown()
		cancel()
	}}, nil
}

// sink knows how many Events are on their way to the API server.
type sink struct {
	events.EventSinkImpl
	writing atomic.Int32
}

// Create implements events.EventSink.
func (s *sink) Create(ctx context.Context, event *eventsv1.Event) (*eventsv1.Event, error) {
	s.writing.Add(1)
	defer s.writing.Add(-1)
	made, err := s.EventSinkImpl.Create(ctx, event)
	if ctx.Err() != nil {
		return event, nil // lost with the lead: client-go would log each
	}
	return made, err
}

// Patch implements events.EventSink.
func (s *sink) Patch(ctx context.Context, event *eventsv1.Event, data []byte) (*eventsv1.Event, error) {
	s.writing.Add(1)
	defer s.writing.Add(-1)
	return s.EventSinkImpl.Patch(ctx, event, data)
}

const (
	// lastWords is how long the next leader waits for our last Events at most.
	// calm is how long none must have been on its way: client-go hands them
	// from goroutine to goroutine first, and has nothing to wait for these.
	lastWords = time.Second
	calm      = 50 * time.Millisecond
)

// drain waits until no Event is on its way any more.
func (s *sink) drain() {
	const step = 5 * time.Millisecond
	began, since := time.Now(), time.Now()
	for time.Since(since) < calm && time.Since(began) < lastWords {
		time.Sleep(step)
		if s.writing.Load() > 0 {
			since = time.Now()
		}
	}
}

// mostNote is what the API takes as an Event's note, in bytes.
const mostNote = 1024

func (t *eventWriter) on(object runtime.Object, n note) { t.about(object, nil, n) }

// about names another object that the Event is about as well. Events on one
// version of an object that differ in nothing but their text count as one.
func (t *eventWriter) about(object, related runtime.Object, n note) {
	t.recorder.Eventf(object, related, n.kind, n.reason, "Migrate", "%s", excerpt.Of(n.text, mostNote))
}

// transition tells what happened to an Ingress between two versions of it,
// whoever did it: the watcher, admission, or the command restore.
//
//	before        after         Event
//	nothing       Migrating     Rewritten
//	FallenBack    Migrating     Recovered (also from Bypassed)
//	any           FallenBack    FellBack, with the evidence
//	nothing       Bypassed      Bypassed, with the reason; no warning
//	others        Bypassed      Bypassed, with the reason
//	any           nothing       Restored
func transition(before, after *networkingv1.Ingress) (note, bool) {
	if after == nil {
		return note{}, false
	}
	was, is := phaseOf(before), phaseOf(after)
	if was == is {
		return note{}, false
	}
	reason := after.Annotations[ingressgen.AnnotationReason]
	switch is {
	case status.FallenBack:
		return note{corev1.EventTypeWarning, EventFellBack, "all traffic goes to old, past the migration proxy: " + reason}, true
	case status.Bypassed:
		if was == "" { // opted in before the proxy serves it: the usual order of a minute
			return note{corev1.EventTypeNormal, EventBypassed, "traffic does not go through the migration proxy yet: " + reason}, true
		}
		return note{corev1.EventTypeWarning, EventBypassed, "traffic goes past the migration proxy: " + reason}, true
	case "":
		return note{corev1.EventTypeNormal, EventRestored, "the Ingress is as its user wrote it"}, true
	}
	if was == "" {
		return note{corev1.EventTypeNormal, EventRewritten, "traffic goes through the migration proxy; share on new: " + after.Annotations[ingressgen.AnnotationShare]}, true
	}
	return note{corev1.EventTypeNormal, EventRecovered, "traffic goes through the migration proxy again, after " + string(was)}, true
}

// phaseOf: the moment until the proxy's Service is made is no news.
func phaseOf(ingress *networkingv1.Ingress) status.Phase {
	if ingress == nil || strings.Contains(ingress.Annotations[ingressgen.AnnotationReason], ingressgen.ReasonWaitingForService) {
		return ""
	}
	return status.Phase(ingress.Annotations[ingressgen.AnnotationPhase])
}

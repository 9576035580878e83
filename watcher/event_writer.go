package watcher

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"

	"github.com/migration-proxy/migration-proxy/internal/excerpt"
	"github.com/migration-proxy/migration-proxy/internal/names"
)

// maxNoteBytes is what the API takes as an Event's note.
const maxNoteBytes = 1024

// eventWriter writes Events. They are the cluster's log for people: one that
// is lost is not repeated.
type eventWriter struct {
	recorder    events.EventRecorder
	broadcaster events.EventBroadcaster
	sink        *eventSink
	cancel      context.CancelFunc
}

// newEventWriter makes an eventWriter that goes on after ctx has ended, until
// stop is called, so that the last Events are written.
func newEventWriter(ctx context.Context, client kubernetes.Interface) (*eventWriter, error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	sink := &eventSink{EventSinkImpl: events.EventSinkImpl{Interface: client.EventsV1()}}
	broadcaster := events.NewBroadcaster(sink)
	if err := broadcaster.StartRecordingToSinkWithContext(ctx); err != nil {
		cancel()
		return nil, fmt.Errorf("start to write Events: %w", err)
	}
	return &eventWriter{broadcaster.NewRecorder(scheme.Scheme, names.Manager), broadcaster, sink, cancel}, nil
}

// stop writes the Events that are on their way, and ends the writer.
func (w *eventWriter) stop() {
	w.sink.drain()
	w.broadcaster.Shutdown()
	w.cancel()
}

// write writes an Event on an object.
func (w *eventWriter) write(object runtime.Object, e event) { w.writeAbout(object, nil, e) }

// writeAbout writes an Event on an object that is also about another object.
// Events on one version of an object that differ only in their text count as
// one.
func (w *eventWriter) writeAbout(object, related runtime.Object, e event) {
	w.recorder.Eventf(object, related, e.eventType, e.reason, "Migrate", "%s", excerpt.Of(e.text, maxNoteBytes))
}

// eventSink counts the Events that are on their way to the API server.
type eventSink struct {
	events.EventSinkImpl
	writing atomic.Int32
}

// Create implements events.EventSink.
func (s *eventSink) Create(ctx context.Context, event *eventsv1.Event) (*eventsv1.Event, error) {
	s.writing.Add(1)
	defer s.writing.Add(-1)
	created, err := s.EventSinkImpl.Create(ctx, event)
	if ctx.Err() != nil {
		return event, nil // lost when the watcher ended: client-go would log each
	}
	return created, err
}

// Patch implements events.EventSink.
func (s *eventSink) Patch(ctx context.Context, event *eventsv1.Event, data []byte) (*eventsv1.Event, error) {
	s.writing.Add(1)
	defer s.writing.Add(-1)
	return s.EventSinkImpl.Patch(ctx, event, data)
}

const (
	// drainTimeout is how long the next leader waits for the last Events at
	// most. drainQuiet is how long none must have been on its way: client-go
	// first passes them between goroutines, where they cannot be counted.
	drainTimeout = time.Second
	drainQuiet   = 50 * time.Millisecond
)

// drain waits until no Event is on its way any more.
func (s *eventSink) drain() {
	const step = 5 * time.Millisecond
	began, quietSince := time.Now(), time.Now()
	for time.Since(quietSince) < drainQuiet && time.Since(began) < drainTimeout {
		time.Sleep(step)
		if s.writing.Load() > 0 {
			quietSince = time.Now()
		}
	}
}

package events

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

// MaxBytes is what the API takes as an Event's note.
const MaxBytes = 1024

// Writer writes Events. They are the cluster's log for people: one that
// is lost is not repeated.
type Writer struct {
	recorder    events.EventRecorder
	broadcaster events.EventBroadcaster
	sink        *sink
	cancel      context.CancelFunc
}

// NewWriter makes an Writer that goes on after ctx has ended, until
// stop is called, so that the last Events are written.
func NewWriter(ctx context.Context, client kubernetes.Interface) (*Writer, error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	sink := &sink{EventSinkImpl: events.EventSinkImpl{Interface: client.EventsV1()}}
	broadcaster := events.NewBroadcaster(sink)
	if err := broadcaster.StartRecordingToSinkWithContext(ctx); err != nil {
		cancel()
		return nil, fmt.Errorf("start to write Events: %w", err)
	}
	return &Writer{broadcaster.NewRecorder(scheme.Scheme, names.Manager), broadcaster, sink, cancel}, nil
}

// Stop writes the Events that are on their way, and ends the writer.
func (w *Writer) Stop() {
	w.sink.drain()
	w.broadcaster.Shutdown()
	w.cancel()
}

// Write writes an Event on an object.
func (w *Writer) Write(object runtime.Object, e Event) { w.WriteAbout(object, nil, e) }

// WriteAbout writes an Event on an object that is also about another object.
// Events on one version of an object that differ only in their text count as
// one.
func (w *Writer) WriteAbout(object, related runtime.Object, e Event) {
	w.recorder.Eventf(object, related, e.Type, e.Reason, "Migrate", "%s", excerpt.Of(e.Text, MaxBytes))
}

// sink counts the Events that are on their way to the API server.
type sink struct {
	events.EventSinkImpl
	writing atomic.Int32
}

// Create implements events.EventSink.
func (s *sink) Create(ctx context.Context, event *eventsv1.Event) (*eventsv1.Event, error) {
	s.writing.Add(1)
	defer s.writing.Add(-1)
	created, err := s.EventSinkImpl.Create(ctx, event)
	if ctx.Err() != nil {
		return event, nil // lost when the watcher ended: client-go would log each
	}
	return created, err
}

// Patch implements events.EventSink.
func (s *sink) Patch(ctx context.Context, event *eventsv1.Event, data []byte) (*eventsv1.Event, error) {
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
func (s *sink) drain() {
	const step = 5 * time.Millisecond
	began, quietSince := time.Now(), time.Now()
	for time.Since(quietSince) < drainQuiet && time.Since(began) < drainTimeout {
		time.Sleep(step)
		if s.writing.Load() > 0 {
			quietSince = time.Now()
		}
	}
}

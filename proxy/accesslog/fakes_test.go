package accesslog

import "time"

// consumeFunc is a LineConsumer.
type consumeFunc func(lines []byte, now time.Time)

func (f consumeFunc) Consume(lines []byte, now time.Time) { f(lines, now) }

// reopenFunc is a LogReopener.
type reopenFunc func() error

func (f reopenFunc) ReopenLogs() error { return f() }

// observeFunc is a FailureObserver and a RequestObserver.
type observeFunc func(event *Event, now time.Time)

func (f observeFunc) ObserveFailure(event *Event, now time.Time) { f(event, now) }
func (f observeFunc) ObserveRequest(event *Event, now time.Time) { f(event, now) }

func (f consumeFunc) Shed(int) {}

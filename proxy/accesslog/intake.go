package accesslog

import (
	"bytes"
	"log/slog"
	"time"
)

// RequestObserver is called for each request in the access log.
type RequestObserver interface {
	// ObserveRequest must be quick and keep nothing of the event.
	ObserveRequest(event *Event, now time.Time)
}

// Intake takes the chunks that Tail reads: each line is parsed, counted and
// observed, and the chunk goes on to the Forwarder.
type Intake struct {
	Counters  *Counters
	Forwarder *Forwarder      // nil to forward no lines
	Observer  RequestObserver // nil for none
	Log       *slog.Logger

	lastWarning time.Time
}

// warningPause limits the warnings about a format that does not fit.
const warningPause = time.Minute

// Consume takes whole lines that were read at now. It is not safe for
// concurrent use: Tail is its only caller.
func (i *Intake) Consume(lines []byte, now time.Time) {
	for line := range bytes.Lines(lines) {
		i.consumeLine(line, now)
	}
	if i.Forwarder != nil {
		i.Forwarder.Forward(lines)
	}
}

// Shed counts lines that were not read.
func (i *Intake) Shed(lines int) { i.Counters.AddShed(lines) }

func (i *Intake) consumeLine(line []byte, now time.Time) {
	event, err := Parse(line)
	if err != nil {
		i.Counters.AddNotUnderstood()
		i.warn(err, now)
		return
	}
	if event.Compared() {
		i.Counters.AddCompared()
		return
	}
	i.Counters.Add(&event, now)
	if i.Observer != nil {
		i.Observer.ObserveRequest(&event, now)
	}
}

// warn logs the error, which quotes only a part of the line: the rest is what
// clients sent.
func (i *Intake) warn(err error, now time.Time) {
	if now.Sub(i.lastWarning) < warningPause {
		return
	}
	i.lastWarning = now
	i.Log.Warn("access log line not understood and not counted", "error", err)
}

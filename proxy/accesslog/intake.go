package accesslog

import (
	"bytes"
	"log/slog"
	"time"
)

// Intake is what happens to each chunk that Tail reads: every line is parsed,
// counted and shown to OnEvent, and the chunk goes on to the Forwarder.
type Intake struct {
	Counters *Counters
	// Forwarder takes the lines as they are; nil to pass none on.
	Forwarder *Forwarder
	// OnEvent sees each request after it was counted; it must be quick, keep
	// nothing of the event, and may be nil.
	OnEvent func(event *Event, now time.Time)
	Log     *slog.Logger

	complained time.Time
}

// complaintPause keeps a format that does not fit from filling the log.
const complaintPause = time.Minute

// Consume takes whole lines, read at now. Not safe for use from several
// goroutines: Tail is its only caller.
func (i *Intake) Consume(lines []byte, now time.Time) {
	for line := range bytes.Lines(lines) {
		i.consumeLine(line, now)
	}
	if i.Forwarder != nil {
		i.Forwarder.Forward(lines)
	}
}

func (i *Intake) consumeLine(line []byte, now time.Time) {
	event, err := Parse(line)
	if err != nil {
		i.Counters.AddNotUnderstood()
		i.complain(err, now)
		return
	}
	i.Counters.Add(&event, now)
	if i.OnEvent != nil {
		i.OnEvent(&event, now)
	}
}

// complain logs the reason, which quotes some of the line at most: the rest is
// what clients sent.
func (i *Intake) complain(err error, now time.Time) {
	if now.Sub(i.complained) < complaintPause {
		return
	}
	i.complained = now
	i.Log.Warn("An access log line was not understood and not counted", "error", err)
}

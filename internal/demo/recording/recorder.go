package recording

import (
	"bytes"
	"io"
	"strings"
	"time"
)

// Line is a line that was printed.
type Line struct {
	At   time.Duration // since the begin
	Text string        // without the line break
}

// Recorder passes on what is written, and remembers when each line was. It is for one
// goroutine.
type Recorder struct {
	Out io.Writer

	began time.Time // of the first write
	lines []Line
	rest  []byte // of a line that is not finished
}

// Write implements io.Writer.
func (r *Recorder) Write(text []byte) (int, error) {
	if r.began.IsZero() {
		r.began = time.Now()
	}
	r.rest = append(r.rest, text...)
	for {
		end := bytes.IndexByte(r.rest, '\n')
		if end < 0 {
			return r.Out.Write(text)
		}
		r.lines = append(r.lines, Line{time.Since(r.began), strings.TrimRight(string(r.rest[:end]), " ")})
		r.rest = r.rest[end+1:]
	}
}

// SVG is the recording so far.
func (r *Recorder) SVG(title string) []byte { return SVG(title, r.lines) }

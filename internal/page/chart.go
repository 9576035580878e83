package page

import (
	"fmt"
	"strings"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/history"
)

// The size of a chart, in units.
const (
	chartWidth  = history.Points
	chartHeight = 60
)

// spans are the lengths of the axis: the shortest one that has room for all points is used,
// so that a young history is more than a dot at the edge.
var spans = []time.Duration{30 * time.Minute, time.Hour, 2 * time.Hour, history.Points * history.Interval}

// chart is two lines over a span of time.
type chart struct {
	Title  string
	Begin  string // how long ago the left edge is
	Middle string // and the middle
	Label  string // what the lines say, in words
	Top    string // the value at the upper edge
	First  line   // solid
	Second line   // dashed
}

// line is one line of a chart.
type line struct{ Name, Path string }

// measure is what a line shows of a point; false: nothing is known.
type measure func(history.Point) (float64, bool)

func charts(h history.Document, now time.Time) []chart {
	if len(h.Points) == 0 {
		return nil
	}
	observed := func(p history.Point) (float64, bool) {
		if p.Observed == nil {
			return 0, false
		}
		return *p.Observed, true
	}
	always := func(value func(history.Point) float64) measure {
		return func(p history.Point) (float64, bool) { return value(p), true }
	}
	whole := 100.0
	draw := newSketch(h.Points, now)
	return []chart{
		draw.chart("Share of new", [2]string{"wanted", "observed"}, always(func(p history.Point) float64 { return p.Share }), observed, scale{percent, whole}),
		draw.sides("Requests per second", func(s history.Side) float64 { return s.Rate }, scale{decimal, 0}),
		draw.sides("Failed", func(s history.Side) float64 { return 100 * s.Failed }, scale{percent, 0}),
		draw.sides("99th percentile", func(s history.Side) float64 { return s.P99 }, scale{latency, 0}),
	}
}

// scale is how values are written, and the value at the upper edge; 0: the largest one.
type scale struct {
	format func(float64) string
	top    float64
}

// sketch draws the points of a history that ends now.
type sketch struct {
	points []history.Point
	now    time.Time
	span   time.Duration // of the axis
}

func newSketch(points []history.Point, now time.Time) sketch {
	k := sketch{points: points, now: now}
	for _, k.span = range spans {
		if now.Sub(points[0].At) <= k.span {
			break
		}
	}
	return k
}

// sides has a line for old and one for new, which say nothing without requests.
func (k sketch) sides(title string, value func(history.Side) float64, s scale) chart {
	side := func(of func(history.Point) history.Side) measure {
		return func(p history.Point) (float64, bool) { return value(of(p)), of(p).Rate > 0 }
	}
	old := side(func(p history.Point) history.Side { return p.Old })
	new := side(func(p history.Point) history.Side { return p.New })
	return k.chart(title, [2]string{"old", "new"}, old, new, s)
}

func (k sketch) chart(title string, names [2]string, first, second measure, s scale) chart {
	top := s.top
	for _, p := range k.points {
		for _, m := range []measure{first, second} {
			if value, known := m(p); known && s.top == 0 {
				top = max(top, value)
			}
		}
	}
	c := chart{
		Title: title, Begin: length(k.span) + " ago", Middle: length(k.span / 2), Top: s.format(top), First: line{names[0], k.path(first, top)}, Second: line{names[1], k.path(second, top)},
	}
	c.Label = fmt.Sprintf("%s over the last %s: %s; %s", title, length(k.span), k.words(names[0], first, s), k.words(names[1], second, s))
	return c
}

// path begins a new line after a gap.
func (k sketch) path(m measure, top float64) string {
	var text strings.Builder
	last := time.Time{}
	for _, p := range k.points {
		value, known := m(p)
		x := chartWidth - int(chartWidth*(k.now.Sub(p.At)/history.Interval)/(k.span/history.Interval))
		if !known || x < 0 {
			continue
		}
		y := float64(chartHeight)
		if top > 0 {
			y -= chartHeight * min(value/top, 1)
		}
		command := "L"
		if p.At.Sub(last) > history.Interval {
			command = "M"
		}
		fmt.Fprintf(&text, "%s%d %.1f", command, x, y)
		if command == "M" { // a point alone is a dot
			text.WriteString("h.5")
		}
		last = p.At
	}
	return text.String()
}

// length is "6 h" or "30 min".
func length(d time.Duration) string {
	if d%time.Hour == 0 {
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d min", d/time.Minute)
}

// words is "old from 0.0 % to 2.0 %, now 1.0 %".
func (k sketch) words(name string, m measure, s scale) string {
	low, high, newest, any := 0.0, 0.0, 0.0, false
	for _, p := range k.points {
		value, known := m(p)
		if !known {
			continue
		}
		if !any {
			low, high = value, value
		}
		low, high, newest, any = min(low, value), max(high, value), value, true
	}
	if !any {
		return name + " not known"
	}
	return fmt.Sprintf("%s from %s to %s, at the end %s", name, s.format(low), s.format(high), s.format(newest))
}

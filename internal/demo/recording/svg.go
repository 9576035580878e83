package recording

import (
	"bytes"
	"fmt"
	"html"
	"strings"
	"time"
)

// The sizes of the terminal, in pixels and characters.
const (
	columns, rows         = 112, 26
	charWidth, lineHeight = 7.25, 17
	margin                = 14
	width                 = columns*charWidth + 2*margin
	height                = rows*lineHeight + 2*margin
)

// lastScreen is how long the last screen stays before all begins again.
const lastScreen = 6 * time.Second

const style = `
.t{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#1f2328;white-space:pre}
.b,.c{fill:#f6f8fa}.f{fill:none;stroke:#d0d7de}.h{font-weight:bold}.k{fill:#0550ae}.g{fill:#116329}.w{fill:#a40e26;font-weight:bold}
@media (prefers-color-scheme:dark){.t{fill:#e6edf3}.b,.c{fill:#0d1117}.f{stroke:#30363d}.k{fill:#79c0ff}.g{fill:#56d364}.w{fill:#ff7b72}}
`

// SVG is the picture of the lines: they stand one below the other, and a cover of the color of
// the background moves down when a line is printed. When the screen is full, all of it moves
// up.
func SVG(title string, lines []Line) []byte {
	lines = wrapped(lines)
	var svg bytes.Buffer
	fmt.Fprintf(&svg, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %d" width="%.0f" height="%d" role="img" aria-labelledby="title">`+"\n",
		width, height, width, height)
	fmt.Fprintf(&svg, "<title id=\"title\">%s</title>\n<style>%s", html.EscapeString(title), style)
	writeMotion(&svg, lines)
	fmt.Fprintf(&svg, "</style>\n<clipPath id=\"s\"><rect x=\"0\" y=\"%d\" width=\"%.0f\" height=\"%d\"/></clipPath>\n", margin, width, rows*lineHeight)
	fmt.Fprintf(&svg, "<rect class=\"b\" width=\"%.0f\" height=\"%d\" rx=\"8\"/>\n<g clip-path=\"url(#s)\"><g class=\"m\">\n", width, height)
	for i, line := range lines {
		if line.Text != "" {
			fmt.Fprintf(&svg, "<text class=\"t%s\" x=\"%d\" y=\"%d\">%s</text>\n", class(line.Text), margin, margin+(i+1)*lineHeight-5, html.EscapeString(line.Text))
		}
	}
	fmt.Fprintf(&svg, "<rect class=\"c\" x=\"1\" y=\"%d\" width=\"%.0f\" height=\"%d\"/>\n", margin, width-2, (len(lines)+rows)*lineHeight)
	fmt.Fprintf(&svg, "</g></g>\n<rect class=\"f\" x=\".5\" y=\".5\" width=\"%.0f\" height=\"%d\" rx=\"8\"/>\n</svg>\n", width-1, height-1)
	return svg.Bytes()
}

// writeMotion writes where the cover and all lines are, at the end and on the way.
func writeMotion(svg *bytes.Buffer, lines []Line) {
	cover := func(printed int) string { return fmt.Sprintf("transform:translateY(%dpx)", printed*lineHeight) }
	screen := func(printed int) string {
		return fmt.Sprintf("transform:translateY(%dpx)", -max(printed-rows, 0)*lineHeight)
	}
	total := lastScreen
	if len(lines) > 0 {
		total += lines[len(lines)-1].At
	}
	fmt.Fprintf(svg, ".c{%s}.m{%s}\n", cover(len(lines)), screen(len(lines)))
	fmt.Fprintf(svg, "@media (prefers-reduced-motion:no-preference){.c{animation:c %[1]dms step-end infinite}.m{animation:m %[1]dms step-end infinite}}\n", total.Milliseconds())
	writeKeyframes(svg, "c", lines, total, cover)
	writeKeyframes(svg, "m", lines, total, screen)
}

// writeKeyframes writes one step for all lines that were printed at the same time.
func writeKeyframes(svg *bytes.Buffer, name string, lines []Line, total time.Duration, at func(printed int) string) {
	fmt.Fprintf(svg, "@keyframes %s{0%%{%s}", name, at(0))
	last := at(0)
	for i, line := range lines {
		if i+1 < len(lines) && lines[i+1].At-line.At < time.Millisecond || at(i+1) == last {
			continue
		}
		last = at(i + 1)
		fmt.Fprintf(svg, "%.3f%%{%s}", 100*float64(line.At)/float64(total), last)
	}
	svg.WriteString("}\n")
}

// wrapped are the lines as a terminal shows them.
func wrapped(lines []Line) []Line {
	var all []Line
	for _, line := range lines {
		text := []rune(strings.ReplaceAll(line.Text, "\t", "    "))
		for len(text) > columns {
			all = append(all, Line{line.At, string(text[:columns])})
			text = text[columns:]
		}
		all = append(all, Line{line.At, string(text)})
	}
	return all
}

// class tells by its beginning what kind of line of the demo it is.
func class(line string) string {
	trimmed := strings.TrimLeft(line, " ")
	switch number, _, isStep := strings.Cut(line, ". "); {
	case isStep && strings.Trim(number, "0123456789") == "":
		return " h"
	case strings.HasPrefix(trimmed, "$ "):
		return " k"
	case strings.HasPrefix(trimmed, "ok "):
		return " g"
	case strings.HasPrefix(trimmed, "WRONG "):
		return " w"
	}
	return ""
}

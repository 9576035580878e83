package compare

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/migration-proxy/migration-proxy/compare"
)

// Write prints a result.
func (r *Result) Write(w io.Writer, format Format) error {
	if format == JSON {
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r)
	}
	var text bytes.Buffer
	fmt.Fprintf(&text, "%s: ", r.Service)
	if err := writeReport(&text, r.Report); err != nil {
		return err
	}
	if r.Variants != nil {
		fmt.Fprintf(&text, "\nvariants of the paths: ")
		if err := writeReport(&text, *r.Variants); err != nil {
			return err
		}
	}
	for _, note := range r.notes() {
		fmt.Fprintln(&text, "note: "+note)
	}
	_, err := w.Write(text.Bytes())
	return err
}

func (r *Result) notes() []string {
	notes := slices.Clone(r.Notes)
	if lines := unaskedLines(r.Unasked); len(lines) > 0 {
		notes = append(notes, "not asked: "+strings.Join(lines, ", "))
	}
	if r.Foreign > 0 {
		notes = append(notes, fmt.Sprintf("%d lines belong to other services", r.Foreign))
	}
	return notes
}

// unaskedLines are "12 method POST".
func unaskedLines(unasked map[string]uint64) []string {
	var lines []string
	for _, reason := range slices.Sorted(maps.Keys(unasked)) {
		lines = append(lines, fmt.Sprintf("%d %s", unasked[reason], reason))
	}
	return lines
}

func writeReport(w io.Writer, r compare.Report) error {
	if r.Same == nil {
		_, err := fmt.Fprintf(w, "no sample, of %d requests\n", r.Requests)
		return err
	}
	fmt.Fprintf(w, "%d routes, %d samples, %.1f %% of the requests covered\n", r.Routes, r.Samples, r.Covered)
	fmt.Fprintf(w, "same on %s %% (noise %.1f %%)%s\n", floored(*r.Same), r.Noise, slowerText(r.Slower))
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range r.Findings {
		fmt.Fprintf(columns, "%6.1f %%\t%s\t%s\t%s\t%s\n", f.Share, f.Route, f.Cause, f.Text, examples(f.Examples))
	}
	if err := columns.Flush(); err != nil {
		return err
	}
	for _, line := range adviceOf(r.Findings) {
		fmt.Fprintln(w, line)
	}
	return nil
}

// floored never says 100 for less.
func floored(percent float64) string {
	return fmt.Sprintf("%.1f", float64(int(percent*10+1e-9))/10)
}

func slowerText(s *compare.Slower) string {
	if s == nil {
		return ""
	}
	how, median, low, high := "slower", s.Median, s.Low, s.High
	if median < 0 {
		how, median, low, high = "faster", -median, -high, -low
	}
	return fmt.Sprintf(", new is %.0f ms %s (%.0f to %.0f) at the median", median, how, low, high)
}

func examples(all []compare.Example) string {
	var texts []string
	for _, e := range all {
		if e.ID != "" {
			texts = append(texts, e.ID)
		} else {
			texts = append(texts, e.Path)
		}
	}
	if len(texts) == 0 {
		return ""
	}
	return "e.g. " + strings.Join(texts, ", ")
}

// adviceOf says once for each cause what to do.
func adviceOf(findings []compare.Finding) []string {
	var lines []string
	for _, f := range findings {
		if line := string(f.Cause) + ": " + f.Advice; f.Advice != "" && !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return lines
}

// CheckMatch says that the answers are less alike than the user wants, in percent.
func (r *Result) CheckMatch(want float64) error {
	switch {
	case want <= 0:
		return nil
	case r.Same == nil:
		return fmt.Errorf("service %s: nothing was compared, and --match wants %g %%", r.Service, want)
	case *r.Same < want:
		return fmt.Errorf("service %s: both sides answer alike on %s %% of the requests, and --match wants %g %%", r.Service, floored(*r.Same), want)
	}
	return nil
}

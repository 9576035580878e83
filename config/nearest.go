package config

import (
	"fmt"
	"slices"
	"strings"
)

// probably gives `; did you mean "x"?` if the text may be a misspelling of the
// known name x, else "".
func probably(text string, known []string) string {
	if name, ok := nearest(text, known); ok {
		return fmt.Sprintf("; did you mean %q?", name)
	}
	return ""
}

// meant gives the hint of probably or, if there is none, the known names when they are few.
func meant(text string, known []string) string {
	if hint := probably(text, known); hint != "" || len(known) > 20 {
		return hint
	}
	sorted := slices.Sorted(slices.Values(known))
	return "; known are " + strings.Join(sorted, ", ")
}

// nearest finds the known name with the smallest edit distance to the text. The
// distance may be at most 2, or a third of the text's length if that is more, and it
// must be less than the length of the name.
func nearest(text string, known []string) (string, bool) {
	if len(text) > 64 { // no name is so long, and distance takes quadratic time
		return "", false
	}
	fold := strings.NewReplacer("-", "_", " ", "_").Replace(strings.ToLower(text))
	found, least := "", max(2, len(text)/3)+1
	for _, name := range known {
		if d := distance(fold, name); d < least && d < len(name) {
			found, least = name, d
		}
	}
	return found, found != ""
}

// distance is the Levenshtein distance in bytes: the number of insertions, deletions
// and replacements.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

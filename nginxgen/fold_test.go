package nginxgen_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Goldens are folded: a part of the text that the base case has too is one
// comment line that says which part of the base stands there. So a change of
// the preamble changes one golden, and the golden of a case shows what is
// special in it. Three kinds of line can stand for a part, each with the
// first words of directives of the base:
//
//	# ... as in minimal: map $request $mp_called_host {
//	# ... as in minimal: daemon off; ... keepalive_timeout 75s;
//	# ... block as in minimal: split_clients $request_id $mp_dice_high {
//
// A part of fewer than foldedLines lines is written out.
const (
	foldedLines = 4
	sameMark    = "# ... as in minimal: "
	bodyMark    = "# ... block as in minimal: "
	toMark      = " ... "
)

// foldBase is the text that other texts are folded against.
type foldBase struct{ sections []section }

func newFoldBase(text string) foldBase { return foldBase{splitSections(text)} }

// section is a directive of the main context or of http, with its block. The
// lines "http {" and "}" are sections too.
type section struct {
	key   string   // the first line; of a server also the second
	lines []string // with their newlines
}

func (s section) equal(other section) bool { return slices.Equal(s.lines, other.lines) }

// body is what the directive's block holds.
func (s section) body() []string {
	if len(s.lines) < 2 {
		return nil
	}
	return s.lines[1 : len(s.lines)-1]
}

func splitSections(text string) []section {
	lines := slices.Collect(strings.Lines(text))
	var sections []section
	for len(lines) > 0 {
		n := sectionLength(lines)
		key := strings.TrimSpace(lines[0])
		if key == "server {" && n > 1 {
			key += " " + strings.TrimSpace(lines[1])
		}
		sections = append(sections, section{key, lines[:n]})
		lines = lines[n:]
	}
	return sections
}

func sectionLength(lines []string) int {
	first := lines[0]
	if first == "http {\n" || !strings.HasSuffix(first, "{\n") {
		return 1
	}
	return slices.Index(lines, indentOf(first)+"}\n") + 1
}

// fold replaces what text has in common with the base.
func (b foldBase) fold(text string) string {
	var out strings.Builder
	sections := splitSections(text)
	for len(sections) > 0 {
		run := b.longestRun(sections)
		if countLines(run) >= foldedLines {
			fmt.Fprintf(&out, "%s%s%s\n", indentOf(run[0].lines[0]), sameMark, reference(run))
			sections = sections[len(run):]
			continue
		}
		out.WriteString(b.foldBody(sections[0]))
		sections = sections[1:]
	}
	return out.String()
}

// longestRun gives the sections of the base that the given ones begin with.
func (b foldBase) longestRun(sections []section) []section {
	var longest []section
	for start := range b.sections {
		end := start
		for end < len(b.sections) && end-start < len(sections) && b.sections[end].equal(sections[end-start]) {
			end++
		}
		if end-start > len(longest) {
			longest = b.sections[start:end]
		}
	}
	return longest
}

// foldBody gives a section's lines, with one line for a block that some
// section of the base has too.
func (b foldBase) foldBody(s section) string {
	whole := strings.Join(s.lines, "")
	if len(s.body()) < foldedLines {
		return whole
	}
	for _, same := range b.sections {
		if slices.Equal(same.body(), s.body()) {
			return s.lines[0] + indentOf(s.lines[0]) + "    " + bodyMark + same.key + "\n" + s.lines[len(s.lines)-1]
		}
	}
	return whole
}

func reference(run []section) string {
	if len(run) == 1 {
		return run[0].key
	}
	return run[0].key + toMark + run[len(run)-1].key
}

func indentOf(line string) string {
	return line[:len(line)-len(strings.TrimLeft(line, " "))]
}

func countLines(sections []section) int {
	n := 0
	for _, s := range sections {
		n += len(s.lines)
	}
	return n
}

// unfold is the inverse of fold: it gives the whole text of a folded golden.
func (b foldBase) unfold(folded string) (string, error) {
	var out []string
	for line := range strings.Lines(folded) {
		lines, err := b.unfoldLine(line)
		if err != nil {
			return "", err
		}
		out = append(out, lines...)
	}
	return strings.Join(out, ""), nil
}

func (b foldBase) unfoldLine(line string) ([]string, error) {
	text := strings.TrimSpace(line)
	if key, isBody := strings.CutPrefix(text, bodyMark); isBody {
		at, err := b.find(key)
		if err != nil {
			return nil, err
		}
		return b.sections[at].body(), nil
	}
	keys, isSame := strings.CutPrefix(text, sameMark)
	if !isSame {
		return []string{line}, nil
	}
	from, to, isRun := strings.Cut(keys, toMark)
	if !isRun {
		to = from
	}
	first, err := b.find(from)
	if err != nil {
		return nil, err
	}
	last, err := b.find(to)
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, s := range b.sections[first : last+1] {
		lines = append(lines, s.lines...)
	}
	return lines, nil
}

func (b foldBase) find(key string) (int, error) {
	at := slices.IndexFunc(b.sections, func(s section) bool { return s.key == key })
	if at < 0 {
		return 0, fmt.Errorf("the base case has no %q", key)
	}
	return at, nil
}

func TestFold(t *testing.T) {
	t.Parallel()
	base := newFoldBase("daemon off;\nhttp {\n    gzip on;\n    map $a $b {\n        1 2;\n        3 4;\n        5 6;\n        7 8;\n    }\n    root /a;\n}\n")
	for name, c := range map[string]struct{ text, folded string }{
		"equal": {
			"daemon off;\nhttp {\n    gzip on;\n    map $a $b {\n        1 2;\n        3 4;\n        5 6;\n        7 8;\n    }\n    root /a;\n}\n",
			"# ... as in minimal: daemon off; ... }\n",
		},
		"changed line": {
			"daemon off;\nhttp {\n    gzip off;\n    map $a $b {\n        1 2;\n        3 4;\n        5 6;\n        7 8;\n    }\n    root /b;\n}\n",
			"daemon off;\nhttp {\n    gzip off;\n    # ... as in minimal: map $a $b {\n    root /b;\n}\n",
		},
		"changed line in a block": {
			"http {\n    map $a $b {\n        1 2;\n        3 4;\n        5 6;\n        7 9;\n    }\n}\n",
			"http {\n    map $a $b {\n        1 2;\n        3 4;\n        5 6;\n        7 9;\n    }\n}\n",
		},
		"same block": {
			"http {\n    map $c $d {\n        1 2;\n        3 4;\n        5 6;\n        7 8;\n    }\n}\n",
			"http {\n    map $c $d {\n        # ... block as in minimal: map $a $b {\n    }\n}\n",
		},
		"lost last newline": {"http {\n    gzip on;\n}", "http {\n    gzip on;\n}"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.folded, base.fold(c.text))
			unfolded, err := base.unfold(c.folded)
			require.NoError(t, err)
			require.Equal(t, c.text, unfolded)
		})
	}
	_, err := base.unfold("# ... as in minimal: user nginx;\n")
	require.EqualError(t, err, `the base case has no "user nginx;"`)
}

package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/migration-proxy/migration-proxy/internal/excerpt"
)

// Problem is one mistake in a text.
type Problem struct {
	File    string // the name of the text
	Line    int    // counts from 1
	Col     int    // counts from 1, in characters
	Path    string // the key, such as services[0].name; "" for the text as a whole
	Message string // the mistake and, after ';' or ':', the way out
}

// String is "file:line:col: path: message".
func (p Problem) String() string {
	text := fmt.Sprintf("%s:%d:%d: ", p.File, p.Line, p.Col)
	if p.Path != "" {
		text += p.Path + ": "
	}
	return text + p.Message
}

// Problems is the mistakes in a text, in the order of the text. There are at most
// maxProblems; if there are more, the last Message ends with their number.
type Problems []Problem

// maxProblems and maxMessageBytes bound what one text makes: a person mends a few mistakes
// and asks again, and a text of 1 MB can have 100,000 mistakes, which are logged, stored
// in a status and answered.
const (
	maxProblems     = 100
	maxMessageBytes = 1000
)

// Error has one problem per line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}

// place is the place of a value in the tree: a key in a mapping or, with an empty
// key, an index in a list. The place of the document is nil.
type place struct {
	parent *place
	key    string
	index  int
}

func (p *place) field(key string) *place { return &place{parent: p, key: key} }

func (p *place) element(index int) *place { return &place{parent: p, index: index} }

// String is the place as a path, such as services[0].migration.percentage.
func (p *place) String() string {
	switch {
	case p == nil:
		return ""
	case p.key == "":
		return p.parent.String() + "[" + strconv.Itoa(p.index) + "]"
	case p.parent == nil:
		return p.key
	}
	return p.parent.String() + "." + p.key
}

// report collects the first problems of one text, and counts others: of a list the
// items after maxProblems are not decoded, and count as one each.
type report struct {
	file     string
	problems Problems
	more     int
}

func (r *report) add(node *yaml.Node, at *place, format string, args ...any) {
	if r.full() {
		r.more++
		return
	}
	r.problems = append(r.problems, Problem{
		File: r.file, Line: node.Line, Col: node.Column,
		Path: at.String(), Message: excerpt.Of(fmt.Sprintf(format, args...), maxMessageBytes),
	})
}

// full tells whether a further problem is only counted.
func (r *report) full() bool { return len(r.problems) == maxProblems }

// err is all reported problems, sorted by position, or nil.
func (r *report) err() error {
	if len(r.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(r.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	if r.more > 0 {
		r.problems[maxProblems-1].Message += fmt.Sprintf(" (and at least %d more problems; mend these first)", r.more)
	}
	return r.problems
}

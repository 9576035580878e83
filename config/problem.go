package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
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

// Problems is all mistakes in a text, in the order of the text.
type Problems []Problem

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

// report collects the problems of one text.
type report struct {
	file     string
	problems Problems
}

func (r *report) add(node *yaml.Node, at *place, format string, args ...any) {
	r.problems = append(r.problems, Problem{
		File: r.file, Line: node.Line, Col: node.Column,
		Path: at.String(), Message: fmt.Sprintf(format, args...),
	})
}

// err is all reported problems, sorted by position, or nil.
func (r *report) err() error {
	if len(r.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(r.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	return r.problems
}

package config

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"github.com/migration-proxy/migration-proxy/internal/excerpt"
)

// maxBytes is the maximum length of a text for Load. A ConfigMap holds 1 MiB; a
// local file may be larger.
const maxBytes = 4 << 20

// bom is the byte order mark that some editors write at the start of UTF-8.
const bom = "\ufeff"

// parse gives the node tree of a text; all other functions work on this tree.
func parse(file string, text []byte) (*yaml.Node, error) {
	text = bytes.TrimPrefix(text, []byte(bom))
	if problem, ok := checkBytes(text); !ok {
		problem.File = file
		return nil, Problems{problem}
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	root, err := next(decoder)
	switch {
	case errors.Is(err, io.EOF) || err == nil && root.Tag == "!!null" && root.Value == "":
		return nil, Problems{{File: file, Line: 1, Col: 1, Message: "the text is empty; a config without services is \"services: []\""}}
	case err != nil:
		return nil, Problems{syntaxProblem(file, text, err)}
	}
	second, err := next(decoder)
	switch {
	case errors.Is(err, io.EOF):
		return root, nil
	case err != nil:
		return nil, Problems{syntaxProblem(file, text, err)}
	}
	return nil, Problems{{File: file, Line: second.Line, Col: second.Column, Message: "a second YAML document begins here; keep one, without a --- line between"}}
}

// next gives the root of the next document. It gives io.EOF if there is no next
// document, or if the first one is empty.
func next(decoder *yaml.Decoder) (*yaml.Node, error) {
	var document yaml.Node
	if err := decoder.Decode(&document); err != nil {
		return nil, err
	}
	if document.Kind != yaml.DocumentNode || len(document.Content) == 0 {
		return nil, io.EOF
	}
	return document.Content[0], nil
}

func checkBytes(text []byte) (Problem, bool) {
	if len(text) > maxBytes {
		return Problem{Line: 1, Col: 1, Message: "the text is larger than 4 MiB; a ConfigMap holds 1 MiB"}, false
	}
	if utf8.Valid(text) {
		return Problem{}, true
	}
	valid := 0
	for rest := text; ; {
		r, size := utf8.DecodeRune(rest)
		if r == utf8.RuneError && size == 1 {
			break
		}
		valid, rest = valid+size, rest[size:]
	}
	line := 1 + bytes.Count(text[:valid], []byte("\n"))
	col := 1 + utf8.RuneCount(text[bytes.LastIndexByte(text[:valid], '\n')+1:valid])
	return Problem{Line: line, Col: col, Message: "this byte is not UTF-8; save the text as UTF-8"}, false
}

var syntaxError = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// syntaxProblem finds the place of a YAML syntax error. yaml.v3 gives a line at
// best, and often the first line of the block around the error. So the function
// searches for the shortest beginning of the text that fails with the same message;
// the error is in its last line.
func syntaxProblem(file string, text []byte, err error) Problem {
	lines := bytes.SplitAfter(text, []byte("\n"))
	line := sort.Search(len(lines)-1, func(i int) bool {
		return syntaxMessage(checkSyntax(bytes.Join(lines[:i+1], nil))) == syntaxMessage(err)
	})
	problem := Problem{File: file, Line: line + 1, Message: "this is not YAML: " + syntaxMessage(err)}
	indent := bytes.IndexFunc(lines[line], func(r rune) bool { return r != ' ' })
	problem.Col = max(indent, 0) + 1
	if indent >= 0 && lines[line][indent] == '\t' {
		problem.Message += "; a tab is used for indentation, use spaces"
	}
	return problem
}

func syntaxMessage(err error) string {
	if err == nil {
		return ""
	}
	match := syntaxError.FindStringSubmatch(err.Error())
	if match == nil {
		return err.Error()
	}
	return strings.TrimSpace(match[2])
}

func checkSyntax(text []byte) error {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for {
		if _, err := next(decoder); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// find follows the keys through the mappings. It gives nil if a key does not exist.
func find(node *yaml.Node, keys ...string) *yaml.Node {
	for _, key := range keys {
		if node = child(node, key); node == nil {
			return nil
		}
	}
	return node
}

func child(node *yaml.Node, key string) *yaml.Node {
	if node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key && undecorated(node.Content[i]) {
			return node.Content[i+1]
		}
	}
	return nil
}

// written tells whether a key exists with a value that is not the empty text.
func written(node *yaml.Node, keys ...string) bool {
	found := find(node, keys...)
	return found != nil && (found.Kind != yaml.ScalarNode || found.Value != "")
}

// describe names the type and the value of a node, for messages.
func describe(node *yaml.Node) string {
	switch {
	case node.Kind != yaml.ScalarNode:
		return describeType(node)
	case node.Tag == "!!bool":
		return node.Value
	case node.Tag == "!!int", node.Tag == "!!float", node.Tag == "!!timestamp":
		return describeType(node) + " " + strconv.Quote(node.Value)
	}
	return describeType(node) + " " + excerpt.Quoted(node.Value)
}

// describeType names only the type.
func describeType(node *yaml.Node) string {
	switch {
	case node.Kind == yaml.MappingNode:
		return "a mapping"
	case node.Kind == yaml.SequenceNode:
		return "a list"
	}
	switch node.Tag {
	case "!!int", "!!float":
		return "the number"
	case "!!bool":
		return "true or false"
	case "!!timestamp":
		return "the date"
	}
	return "the text"
}

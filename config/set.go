package config

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/migration-proxy/migration-proxy/migration"
	"gopkg.in/yaml.v3"
)

// Edit is a config text with one value of one service changed.
type Edit struct {
	Text   []byte           // the text after the change, equal to the text before if that has the value
	Before *migration.Table // the table of the text before
	After  *migration.Table // the table of Text: it differs from Before in the one value
}

// SetPercentage changes migration.percentage of one service and keeps every other
// byte of the text. It inserts the key if that does not exist. Name is the name of
// the text in messages. The error is Problems if the text does not load. There is
// also an error if the service does not exist, and if a program cannot edit the
// layout of the text.
func SetPercentage(name string, text []byte, service migration.Name, share migration.Share) (Edit, error) {
	if share < 0 || share > migration.FullShare {
		return Edit{}, fmt.Errorf("%s is out of range: a percentage goes from 0 to 100", share)
	}
	return set(name, text, service, setting{
		key: "percentage", value: share.String(),
		apply: func(table *migration.Table) *migration.Table { return table.WithShare(service, share) },
	})
}

// SetEnabled changes migration.enabled of one service in the same way as
// SetPercentage changes its percentage.
func SetEnabled(name string, text []byte, service migration.Name, enabled bool) (Edit, error) {
	return set(name, text, service, setting{
		key: "enabled", value: strconv.FormatBool(enabled),
		apply: func(table *migration.Table) *migration.Table { return table.WithEnabled(service, enabled) },
	})
}

// setting is a key of a service's migration section and its new value.
type setting struct {
	key, value string
	apply      func(*migration.Table) *migration.Table // the table that the edited text must load to
}

func set(name string, text []byte, service migration.Name, to setting) (Edit, error) {
	root, err := parse(name, text)
	if err != nil {
		return Edit{}, err
	}
	before, err := load(name, root)
	if err != nil {
		return Edit{}, err
	}
	node, err := findService(name, root, before, service)
	if err != nil {
		return Edit{}, err
	}
	want := to.apply(before)
	if before.Digest() == want.Digest() && find(node, "migration", to.key) != nil {
		return Edit{Text: text, Before: before, After: before}, nil
	}
	changed := write(text, node, to)
	after, err := Load(name, changed)
	if err != nil || after.Digest() != want.Digest() {
		return Edit{}, fmt.Errorf("%s:%d: a program cannot edit the layout of service %q; write migration.%s: %s by hand", name, node.Line, service, to.key, to.value)
	}
	return Edit{Text: changed, Before: before, After: after}, nil
}

func findService(file string, root *yaml.Node, table *migration.Table, name migration.Name) (*yaml.Node, error) {
	for _, node := range find(root, "services").Content {
		if find(node, "name").Value == string(name) {
			return node, nil
		}
	}
	var known []string
	for _, s := range table.Services() {
		known = append(known, string(s.Name))
	}
	if len(known) == 0 {
		return nil, fmt.Errorf("%s has no service %q, because it has no services yet: write one under the key services", file, name)
	}
	return nil, fmt.Errorf("%s has no service %q%s", file, name, meant(string(name), known))
}

// write replaces the value. If the key does not exist, it inserts the key as the
// first one of its mapping; if the mapping does not exist either, it inserts the
// mapping as the first key of the service.
func write(text []byte, service *yaml.Node, to setting) []byte {
	if value := find(service, "migration", to.key); value != nil {
		start := offset(text, value)
		return splice(text, start, start+len(value.Value), to.value)
	}
	if split := find(service, "migration"); split != nil {
		return insert(text, split, to.key, to.value)
	}
	if quoted(service) {
		return insert(text, service, "migration", `{"`+to.key+`": `+to.value+"}")
	}
	return insert(text, service, "migration", "{"+to.key+": "+to.value+"}")
}

// insert adds a key as the first one of a mapping: on a line of its own with the
// indentation of the next key, or after the brace.
//
//	migration:                {enabled: true}
//	  enabled: true
//
// become
//
//	migration:                {percentage: 20, enabled: true}
//	  percentage: 20
//	  enabled: true
func insert(text []byte, mapping *yaml.Node, key, value string) []byte {
	if quoted(mapping) {
		key = `"` + key + `"`
	}
	entry := key + ": " + value
	if mapping.Style&yaml.FlowStyle != 0 {
		brace := offset(text, mapping) + 1
		if len(mapping.Content) > 0 {
			entry += ", "
		}
		return splice(text, brace, brace, entry)
	}
	first := mapping.Content[0]
	start := offset(text, first)
	return splice(text, start, start, entry+lineBreak(text)+strings.Repeat(" ", first.Column-1))
}

// quoted tells whether a mapping is written as JSON: then it must stay JSON.
func quoted(mapping *yaml.Node) bool {
	return mapping.Style&yaml.FlowStyle != 0 && len(mapping.Content) > 0 &&
		mapping.Content[0].Style&yaml.DoubleQuotedStyle != 0
}

func splice(text []byte, start, end int, middle string) []byte {
	return slices.Concat(text[:start], []byte(middle), text[end:])
}

func lineBreak(text []byte) string {
	if bytes.Contains(text, []byte("\r\n")) {
		return "\r\n"
	}
	return "\n"
}

// offset gives the byte offset of a node in the text. Lines end with the line breaks
// of YAML 1.1, and a byte order mark does not count as a column.
func offset(text []byte, node *yaml.Node) int {
	at := 0
	if bytes.HasPrefix(text, []byte(bom)) {
		at = len(bom)
	}
	for line := 1; line < node.Line && at < len(text); line++ {
		at += lineLength(text[at:])
	}
	return at + columns(text[at:], node.Column-1)
}

// lineLength is the number of bytes of the first line, with its line break.
func lineLength(text []byte) int {
	end := bytes.IndexAny(text, "\n\r\u0085\u2028\u2029")
	if end < 0 {
		return len(text)
	}
	if bytes.HasPrefix(text[end:], []byte("\r\n")) {
		return end + 2
	}
	_, size := utf8.DecodeRune(text[end:])
	return end + size
}

// columns is the number of bytes of the first characters of the text.
func columns(text []byte, characters int) int {
	at := 0
	for ; characters > 0 && at < len(text); characters-- {
		_, size := utf8.DecodeRune(text[at:])
		at += size
	}
	return at
}

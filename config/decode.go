package config

import (
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/migration-proxy/migration-proxy/internal/excerpt"
)

// shape is the information in the tags of one struct of the format.
type shape struct {
	fields   []field
	byName   map[string]int
	short    int           // the field that may stand for the whole struct; -1: none
	template reflect.Value // a struct with all defaults set
}

type field struct {
	name        string
	doc         string
	defaultText string // the text in the tag
	required    bool
	blank       bool
	short       bool
}

// shapes has every struct of the format.
var shapes = map[reflect.Type]*shape{}

var serviceType = reflect.TypeFor[service]()

func init() {
	maps.Copy(leaves, rampLeaves)
	compile(reflect.TypeFor[document]())
}

// compile adds a type and the types of its fields to shapes.
func compile(t reflect.Type) {
	if t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if _, isLeaf := leaves[t]; isLeaf || shapes[t] != nil {
		return
	}
	s := &shape{byName: map[string]int{}, short: -1, template: reflect.New(t).Elem()}
	for i := range t.NumField() {
		compile(t.Field(i).Type)
		f := readField(t.Field(i))
		s.byName[f.name] = i
		if f.short {
			s.short = i
		}
		s.fields = append(s.fields, f)
		setDefault(s.template.Field(i), f.defaultText)
	}
	shapes[t] = s
}

func readField(f reflect.StructField) field {
	return field{
		name: f.Tag.Get("yaml"), doc: f.Tag.Get("doc"), defaultText: f.Tag.Get("default"),
		required: f.Tag.Get("required") != "", blank: f.Tag.Get("blank") != "", short: f.Tag.Get("short") != "",
	}
}

// setDefault sets a field to its default. It panics on a default that is not a value
// of the field: that is a mistake in this package, and every test finds it.
func setDefault(into reflect.Value, text string) {
	switch {
	case shapes[into.Type()] != nil:
		into.Set(shapes[into.Type()].template)
	case text == "":
	case into.Kind() == reflect.Slice:
		for item := range strings.SplitSeq(text, ",") {
			value := reflect.New(into.Type().Elem()).Elem()
			setDefault(value, item)
			into.Set(reflect.Append(into, value))
		}
	default:
		value, err := leaves[into.Type()].parse(text)
		if err != nil {
			panic(err)
		}
		into.Set(reflect.ValueOf(value))
	}
}

// decoder fills the structs of the format from nodes. It reports a value that cannot
// be read, and sets it to its zero value, never to its default, so that later checks
// can see the difference.
type decoder struct{ *report }

func (d decoder) value(node *yaml.Node, into reflect.Value, at *place) {
	_, isLeaf := leaves[into.Type()]
	switch {
	case !d.plain(node, at):
		into.SetZero()
	case isLeaf:
		d.leaf(node, into, at)
	case into.Kind() == reflect.Pointer:
		target := reflect.New(into.Type().Elem())
		setDefault(target.Elem(), "")
		d.value(node, target.Elem(), at)
		into.Set(target)
	case into.Kind() == reflect.Slice:
		d.list(node, into, at)
	default:
		d.mapping(node, into, at)
	}
}

// plain refuses nodes that YAML allows and the format does not.
func (d decoder) plain(node *yaml.Node, at *place) bool {
	switch {
	case node.Kind == yaml.AliasNode || node.Anchor != "":
		d.add(node, at, "anchors (&) and aliases (*) are not supported; write the value out")
	case node.Style&yaml.TaggedStyle != 0:
		d.add(node, at, "the tag %s is not supported; leave it out", excerpt.Quoted(node.Tag))
	case node.Kind == yaml.ScalarNode && node.Tag == "!!null":
		d.add(node, at, "has no value; write one or leave the key out")
	default:
		return true
	}
	return false
}

func undecorated(node *yaml.Node) bool {
	return node.Anchor == "" && node.Style&yaml.TaggedStyle == 0
}

func (d decoder) leaf(node *yaml.Node, into reflect.Value, at *place) {
	into.SetZero()
	leaf := leaves[into.Type()]
	if node.Kind != yaml.ScalarNode || !slices.Contains(leaf.tags, node.Tag) {
		found := describe(node)
		if leaf.secret {
			found = describeType(node)
		}
		d.add(node, at, "must be %s, not %s%s", leaf.want, found, retype(node, leaf))
		return
	}
	value, err := leaf.parse(node.Value)
	if err != nil {
		d.add(node, at, "%v", err)
		return
	}
	into.Set(reflect.ValueOf(value))
}

// retype is the hint how the same characters become a value of the wanted type.
func retype(node *yaml.Node, leaf leaf) string {
	if node.Kind != yaml.ScalarNode {
		return ""
	}
	if node.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
		return "; leave the quotes out"
	}
	if _, err := leaf.parse(node.Value); err == nil && slices.Contains(leaf.tags, "!!str") {
		return "; put it in quotes"
	}
	if _, err := leaf.parse(node.Value + "s"); err == nil && node.Tag == "!!int" {
		return "; add a unit, like " + node.Value + "s"
	}
	return ""
}

func (d decoder) list(node *yaml.Node, into reflect.Value, at *place) {
	into.SetZero()
	if node.Kind != yaml.SequenceNode {
		d.add(node, at, "must be a list, not %s", describe(node))
		return
	}
	for i, item := range node.Content {
		if d.full() { // a text of 1 MB can have 500,000 items, which are 700 bytes each
			d.more += len(node.Content) - i
			return
		}
		into.Set(reflect.Append(into, reflect.Zero(into.Type().Elem())))
		setDefault(into.Index(i), "")
		d.value(item, into.Index(i), at.element(i))
	}
}

func (d decoder) mapping(node *yaml.Node, into reflect.Value, at *place) {
	if short := shapes[into.Type()].short; short >= 0 && node.Kind != yaml.MappingNode {
		d.value(node, into.Field(short), at)
		return
	}
	if node.Kind != yaml.MappingNode {
		d.add(node, at, "must be a mapping of keys to values, not %s", describe(node))
		into.SetZero()
		return
	}
	s := shapes[into.Type()]
	first := make([]*yaml.Node, len(s.fields))
	for i := 0; i+1 < len(node.Content); i += 2 {
		d.entry(node.Content[i:i+2], first, into, at)
	}
	for i, f := range s.fields {
		if f.required && first[i] == nil {
			d.add(node, at.field(f.name), "is missing; %s", lowerFirst(f.doc))
		}
	}
}

// entry reads one key and its value. first has the key node of each field that was
// read before.
func (d decoder) entry(pair, first []*yaml.Node, into reflect.Value, at *place) {
	s, key, value := shapes[into.Type()], pair[0], pair[1]
	if !d.key(s, key, at) {
		return
	}
	i := s.byName[key.Value]
	if first[i] != nil {
		d.add(key, at.field(key.Value), "is written twice, first in line %d; keep one", first[i].Line)
		return
	}
	first[i] = key
	if s.fields[i].blank && value.Value == "" && value.Tag == "!!str" && undecorated(value) {
		return
	}
	d.value(value, into.Field(i), at.field(key.Value))
}

func (d decoder) key(s *shape, key *yaml.Node, at *place) bool {
	switch {
	case key.Tag == "!!merge":
		d.add(key, at, "merge keys (<<) are not supported; write the values out")
	case key.Kind != yaml.ScalarNode || !undecorated(key):
		d.add(key, at, "a key must be a plain word")
	default:
		if _, known := s.byName[key.Value]; known {
			return true
		}
		d.unknownKey(s, key, at)
	}
	return false
}

// unknownKey compares the key with all names, but not for a problem that is only counted.
func (d decoder) unknownKey(s *shape, key *yaml.Node, at *place) {
	hint := ""
	if !d.full() {
		hint = meant(key.Value, s.names())
	}
	d.add(key, at.field(shown(key.Value)), "unknown key%s", hint)
}

var word = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// shown is a key as it is written in a path: in quotes if it is not a plain word.
func shown(key string) string {
	if word.MatchString(key) {
		return key
	}
	return excerpt.Quoted(key)
}

func (s *shape) names() []string {
	names := make([]string, len(s.fields))
	for i, f := range s.fields {
		names[i] = f.name
	}
	return names
}

func lowerFirst(text string) string {
	return strings.ToLower(text[:1]) + strings.TrimSuffix(text[1:], ".")
}

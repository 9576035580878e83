package config_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/golden"
	"github.com/stretchr/testify/require"
)

const keysIntro = `# The keys of the migration config

` + "`config/keys_test.go` generates this page from `config/schema.json` (`make golden`)." + ` A key ends with
` + "`[]`" + ` if it is a list. [examples/all.yaml](../examples/all.yaml) has every key, with comments;
` + "`migration-proxy validate FILE`" + ` also checks the rules that compare two keys.

| key | type | default | allowed | meaning |
|---|---|---|---|---|
`

// keySchema is the part of the JSON Schema that the page shows.
type keySchema struct {
	Type             string               `json:"type"`
	Description      string               `json:"description"`
	Default          any                  `json:"default"`
	Const            *string              `json:"const"`
	Enum             []any                `json:"enum"`
	Pattern          string               `json:"pattern"`
	Minimum, Maximum *float64             `json:",omitempty"`
	AnyOf            []keySchema          `json:"anyOf"`
	Items            *keySchema           `json:"items"`
	Properties       map[string]keySchema `json:"properties"`
	Required         []string             `json:"required"`
}

func TestKeysPageIsFresh(t *testing.T) {
	t.Parallel()
	text, err := config.Schema()
	require.NoError(t, err)
	var root keySchema
	require.NoError(t, json.Unmarshal(text, &root))
	golden.Check(t, "../docs/config.md", []byte(keysIntro+strings.Join(root.rows(""), "")))
}

// rows gives a line of the table for each key below the schema, parents first.
func (s keySchema) rows(prefix string) []string {
	var rows []string
	names := make([]string, 0, len(s.Properties))
	for name := range s.Properties {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { // keys that have keys below them come last
		return cmp.Or(cmp.Compare(len(s.Properties[a].below().Properties), len(s.Properties[b].below().Properties)), cmp.Compare(a, b))
	})
	for _, name := range names {
		key := s.Properties[name]
		path := prefix + name
		if key.Items != nil {
			path += "[]"
		}
		required := ""
		if slices.Contains(s.Required, name) {
			required = "**required.** "
		}
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s | %s | %s%s |\n",
			path, key.kind(), key.defaultText(), key.allowed(), required, inCell(key.Description)))
		rows = append(rows, key.below().rows(path+".")...)
	}
	return rows
}

// below is the schema that has the keys below this one. Of a key with a short form it
// is the long one, which comes last.
func (s keySchema) below() keySchema {
	if s.Items != nil {
		return s.Items.below()
	}
	if n := len(s.AnyOf); n > 0 {
		return s.AnyOf[n-1].below()
	}
	return s
}

func (s keySchema) kind() string {
	if s.Type == "" && len(s.AnyOf) > 0 {
		return s.AnyOf[len(s.AnyOf)-1].kind()
	}
	if len(s.Enum) > 0 {
		return "string"
	}
	if s.Items != nil {
		return "list of " + s.Items.kind()
	}
	return s.Type
}

func (s keySchema) defaultText() string {
	if s.Default == nil {
		return ""
	}
	text, err := json.Marshal(s.Default)
	if err != nil {
		return err.Error()
	}
	return "`" + string(text) + "`"
}

func (s keySchema) allowed() string {
	var parts []string
	for _, choice := range s.AnyOf {
		if choice.Items != nil {
			continue // the short form of an object, which has a row for its items
		}
		parts = append(parts, choice.allowed())
	}
	if s.Const != nil {
		parts = append(parts, fmt.Sprintf("`%q`", *s.Const))
	}
	for _, value := range s.Enum {
		parts = append(parts, fmt.Sprintf("`%v`", value))
	}
	switch {
	case s.Minimum != nil && s.Maximum != nil:
		parts = append(parts, fmt.Sprintf("%.0f to %.0f", *s.Minimum, *s.Maximum))
	case s.Minimum != nil:
		parts = append(parts, fmt.Sprintf("from %.0f", *s.Minimum))
	}
	if s.Pattern != "" {
		parts = append(parts, "`"+inCell(s.Pattern)+"`")
	}
	if s.Items != nil {
		parts = append(parts, s.Items.allowed())
	}
	return strings.Join(slices.DeleteFunc(parts, func(part string) bool { return part == "" }), ", ")
}

// inCell escapes a text for a cell of a Markdown table.
func inCell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

package config

import (
	"encoding/json"
	"fmt"
	"reflect"
)

// Schema gives the JSON Schema (draft 2020-12) of the format, for editors. The
// schema has keys, types and ranges, but not the rules that compare two values: only
// Load knows whether a text is valid.
func Schema() ([]byte, error) {
	schema := schemaOf(reflect.TypeFor[document]())
	schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	schema["title"] = "migration-proxy: migration.yaml"
	text, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("schema of the migration config: %w", err)
	}
	return append(text, '\n'), nil
}

func schemaOf(t reflect.Type) map[string]any {
	leaf, isLeaf := leaves[t]
	switch {
	case isLeaf:
		copied := map[string]any{}
		for key, value := range leaf.schema {
			copied[key] = value
		}
		return copied
	case t.Kind() == reflect.Pointer:
		return schemaOf(t.Elem())
	case t.Kind() == reflect.Slice:
		return map[string]any{"type": "array", "items": schemaOf(t.Elem())}
	}
	return structSchema(t)
}

func structSchema(t reflect.Type) map[string]any {
	properties := map[string]any{}
	schema := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	var required []string
	for i, f := range shapes[t].fields {
		properties[f.name] = fieldSchema(f, t.Field(i).Type)
		if f.required {
			required = append(required, f.name)
		}
	}
	if required != nil {
		schema["required"] = required
	}
	if short := shapes[t].short; short >= 0 {
		return map[string]any{"anyOf": []any{schemaOf(t.Field(short).Type), schema}}
	}
	return schema
}

func fieldSchema(f field, t reflect.Type) map[string]any {
	schema := schemaOf(t)
	if f.blank {
		schema = map[string]any{"anyOf": []any{map[string]any{"const": ""}, schema}}
	}
	schema["description"] = f.doc
	if value := shownDefault(f, t); value != nil {
		schema["default"] = value
	}
	return schema
}

// shownDefault is a default as JSON: a number, true or false, a list of numbers, or
// a text.
func shownDefault(f field, t reflect.Type) any {
	if f.defaultText == "" {
		return nil
	}
	text := f.defaultText
	if t.Kind() == reflect.Slice {
		text = "[" + text + "]"
	}
	var value any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		return f.defaultText // a text, as "30s"
	}
	return value
}

package config_test

import (
	"strings"
	"testing"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/golden"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

func TestSchemaFileIsFresh(t *testing.T) {
	t.Parallel()
	text, err := config.Schema()
	require.NoError(t, err)
	golden.Check(t, "schema.json", text)
}

func TestExamplesFollowTheSchema(t *testing.T) {
	t.Parallel()
	schema := compileSchema(t)
	for _, file := range glob(t, "../examples/*.yaml") {
		require.NoError(t, schema.Validate(asJSON(t, file)), file)
	}
}

// TestSchemaSeesBadCases pins in testdata/schema-sees.txt which bad cases the schema
// finds; only Load finds the others.
func TestSchemaSeesBadCases(t *testing.T) {
	t.Parallel()
	schema := compileSchema(t)
	var seen []string
	for _, file := range glob(t, "testdata/bad/*.yaml") {
		value := asJSON(t, file)
		if value != nil && schema.Validate(value) != nil {
			seen = append(seen, caseName(file))
		}
	}
	require.Greater(t, len(seen), 40)
	golden.Check(t, "testdata/schema-sees.txt", []byte(strings.Join(seen, "\n")+"\n"))
}

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := config.Schema()
	require.NoError(t, err)
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	require.NoError(t, compiler.AddResource("schema.json", document))
	schema, err := compiler.Compile("schema.json")
	require.NoError(t, err)
	return schema
}

// asJSON is the value in a file, as an editor checks it; nil if it is not YAML.
func asJSON(t *testing.T, file string) any {
	t.Helper()
	var value any
	if err := yaml.Unmarshal(readFile(t, file), &value); err != nil {
		return nil
	}
	return value
}

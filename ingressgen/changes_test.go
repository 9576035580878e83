package ingressgen_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// changes has the values by which a JSON document differs from what it was, each with
// its path:
//
//   - spec.rules[0].http.paths[0].backend.service.name: api
//   - spec.rules[0].http.paths[0].backend.service.name: migration-proxy
func changes(t *testing.T, before, after []byte) []byte {
	was, is := values(t, before), values(t, after)
	paths := maps.Clone(was)
	maps.Copy(paths, is)
	var text strings.Builder
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		old, hadIt := was[path]
		new, hasIt := is[path]
		if hadIt == hasIt && old == new {
			continue
		}
		if hadIt {
			fmt.Fprintf(&text, "- %s: %s\n", path, old)
		}
		if hasIt {
			fmt.Fprintf(&text, "+ %s: %s\n", path, new)
		}
	}
	return []byte(text.String())
}

// values has the strings, numbers, booleans, and empty objects and lists of a JSON
// document, by path.
func values(t *testing.T, document []byte) map[string]string {
	var root any
	require.NoError(t, json.Unmarshal(document, &root))
	found := map[string]string{}
	addValues(found, "", root)
	return found
}

func addValues(found map[string]string, path string, value any) {
	switch value := value.(type) {
	case map[string]any:
		for key, element := range value {
			addValues(found, strings.TrimPrefix(path+"."+key, "."), element)
		}
		if len(value) > 0 {
			return
		}
	case []any:
		for i, element := range value {
			addValues(found, fmt.Sprintf("%s[%d]", path, i), element)
		}
		if len(value) > 0 {
			return
		}
	}
	found[path] = fmt.Sprint(value)
}

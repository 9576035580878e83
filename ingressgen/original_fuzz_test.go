package ingressgen

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzParseOriginals: whatever somebody writes into annotation original, each
// value that is kept can be put back, and the written text reads as the same
// values.
func FuzzParseOriginals(f *testing.F) {
	for _, text := range []string{
		"", "null", "[]", "{", `{"backends":[{}]}`,
		`{"backends":[{"host":"a.example.com","path":"/","pathType":"Prefix","backend":{"name":"api","port":{"number":8080}}}]}`,
		`{"backends":[{"host":"a.example.com","backend":{"name":"api","port":{"name":"http"}}},{"backend":{"name":"migration-proxy"}}]}`,
		`{"annotations":{"nginx.ingress.kubernetes.io/backend-protocol":"HTTPS","unknown":"x"}}`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		kept, _ := parseOriginals(text) // an error says that values are left out
		for _, entry := range kept.Backends {
			require.True(t, isRestorable(entry.Backend), "backend %+v", entry.Backend)
		}
		for name, value := range kept.Annotations {
			_, ok := adjustedValue(name, value)
			require.True(t, ok, "annotation %q", name)
		}
		again, err := parseOriginals(kept.text())
		require.NoError(t, err)
		require.Equal(t, kept, again)
	})
}

package ingressgen

import (
	"testing"

	"github.com/stretchr/testify/require"
	networkingv1 "k8s.io/api/networking/v1"
)

// TestEqualPathsKeepTheirBackends: two paths with the same host, path and type get
// their originals back in the order of the list.
func TestEqualPathsKeepTheirBackends(t *testing.T) {
	t.Parallel()
	first, second := backend{Name: "first"}, backend{Name: "second"}
	r := &rewriter{originals: originalValues{Backends: []originalBackend{
		{pathKey: pathKey{Host: "a.example.com", Path: "/"}, Backend: first},
		{pathKey: pathKey{Host: "a.example.com", Path: "/"}, Backend: second},
	}}}
	for _, want := range []backend{first, second} {
		got, ok := r.originalOfKey(&ingressPath{host: "a.example.com", spec: &networkingv1.HTTPIngressPath{Path: "/"}})
		require.True(t, ok)
		require.Equal(t, want, got)
	}
}

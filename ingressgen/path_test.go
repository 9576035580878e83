package ingressgen

import (
	"testing"

	"github.com/stretchr/testify/require"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/migration"
)

// TestPathPrefix: one trailing slash does not count, and the root stays "/".
func TestPathPrefix(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]migration.PathPrefix{
		"": "/", "/": "/", "//": "/", "/a": "/a", "/a/": "/a", "/a//": "/a/",
	} {
		p := ingressPath{spec: &networkingv1.HTTPIngressPath{Path: path}}
		require.Equal(t, want, p.prefix(), "path %q", path)
	}
}

package ingressgen_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/golden"
)

func TestAnchor(t *testing.T) {
	t.Parallel()
	anchor := ingressgen.Anchor("shop", oldAPI, ingressgen.ClassName{Name: "nginx"})
	golden.Check(t, "testdata/anchor.yaml", marshal(t, anchor))
	require.True(t, ingressgen.IsAnchor(anchor))
	require.False(t, ingressgen.IsCompanion(anchor))
	require.Equal(t, ingressgen.ProxyService("shop", oldAPI, nil).Name, ingressgen.AnchoredService(anchor))
	require.Empty(t, ingressgen.Rewrite(anchor, exampleView()).Edits, "it stays as it is")
	require.Empty(t, ingressgen.Release(anchor, exampleView()).Edits)
}

// strictPath is what ingress-nginx accepts as a path of type Exact by default
// (strict-validate-path-type; its internal/ingress/inspector).
var strictPath = regexp.MustCompile(`^/[[:alnum:]._\-/]*$`)

// TestAnchorOfEachClass: an anchor names its class as the Ingress does, and the
// anchors of two classes have different names, and no path in common.
func TestAnchorOfEachClass(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, class := range []ingressgen.ClassName{
		{}, {Name: "nginx"}, {Name: "internal", Annotated: true}, {Name: strings.Repeat("a.", 126) + "a"}, {Name: strings.Repeat("b.", 126) + "b"},
	} {
		anchor := ingressgen.Anchor("shop", oldAPI, class)
		require.Empty(t, validation.IsDNS1123Subdomain(anchor.Name))
		require.False(t, seen[anchor.Name], anchor.Name)
		seen[anchor.Name] = true
		require.Equal(t, class, ingressgen.ClassNameOf(anchor))
		for _, path := range anchor.Spec.Rules[0].HTTP.Paths {
			require.Regexp(t, strictPath, path.Path)
			require.False(t, seen[path.Path], path.Path)
			seen[path.Path] = true
		}
	}
}

// TestIsAnchor: the label alone, which anybody can write, does not make one.
func TestIsAnchor(t *testing.T) {
	t.Parallel()
	anchor := ingressgen.Anchor("shop", oldAPI, ingressgen.ClassName{})
	anchor.Spec.Rules = append(anchor.Spec.Rules, networkingv1.IngressRule{Host: "api.example.com"})
	require.False(t, ingressgen.IsAnchor(anchor))
	anchor.Spec.Rules = nil
	require.False(t, ingressgen.IsAnchor(anchor))
	anchor = ingressgen.Anchor("shop", oldAPI, ingressgen.ClassName{})
	anchor.Labels = nil
	require.False(t, ingressgen.IsAnchor(anchor))
}

package ingressgen_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

// The limits of the API server: TotalAnnotationSizeLimitB of apimachinery, and
// maxJSONPatchOperations of apiserver.
const (
	storedAnnotations = 256 << 10
	patchOperations   = 10000
)

// TestLarge: a rewritten Ingress can be stored, and can be put back.
func TestLarge(t *testing.T) {
	t.Parallel()
	table, err := config.Load("test", []byte(`services:
- {name: shop, old_host: shop.example.com, old_backend: "web.apps.svc:80", new_host: new.example.com,
   new_backend: "new.example.com:443", migration: {enabled: true, percentage: 20}}
`))
	require.NoError(t, err)
	cases := map[string]struct {
		paths, annotation int
		want              status.Phase
	}{
		"as many paths as allowed":         {500, 0, status.Migrating},
		"one path more":                    {501, 0, status.Bypassed},
		"annotation original fits":         {500, 150 << 10, status.Migrating},
		"annotation original does not fit": {500, 190 << 10, status.Bypassed},
		"no own annotation fits":           {1, 240 << 10, status.Bypassed},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before, err := json.Marshal(largeIngress(c.paths, c.annotation))
			require.NoError(t, err)
			view := serving(table)
			report := ingressgen.Rewrite(parse(t, before), view)
			require.Equal(t, c.want, report.Phase, report.Reason)

			after := parse(t, apply(t, before, report.Edits))
			size := 0
			for name, value := range after.Annotations {
				size += len(name) + len(value)
			}
			require.LessOrEqual(t, size, storedAnnotations)
			back := ingressgen.WithPreconditions(after, ingressgen.Release(after, ingressgen.View{}).Edits)
			require.LessOrEqual(t, len(back), patchOperations)
			requireLaws(t, before, view)
		})
	}
}

func largeIngress(paths, annotation int) *networkingv1.Ingress {
	var all []networkingv1.HTTPIngressPath
	for n := range paths {
		all = append(all, networkingv1.HTTPIngressPath{
			Path: fmt.Sprintf("/path/%d", n), PathType: new(networkingv1.PathTypePrefix),
			Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: "web", Port: networkingv1.ServiceBackendPort{Number: 80}}},
		})
	}
	rule := networkingv1.IngressRule{Host: "shop.example.com"}
	rule.HTTP = &networkingv1.HTTPIngressRuleValue{Paths: all}
	return &networkingv1.Ingress{
		TypeMeta: metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "Ingress"},
		ObjectMeta: metav1.ObjectMeta{
			Name: "shop", Namespace: "apps",
			Annotations: map[string]string{ingressgen.AnnotationEnabled: "true", "last-applied": strings.Repeat("x", annotation)},
		},
		Spec: networkingv1.IngressSpec{Rules: []networkingv1.IngressRule{rule}},
	}
}

package ingressgen_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/ingressgen"
)

// TestGuardedWithoutAnnotations: the guard holds where there are none at all,
// and no longer when somebody has written one.
func TestGuardedWithoutAnnotations(t *testing.T) {
	t.Parallel()
	bare := []byte(`{"metadata":{"name":"api"},"spec":{}}`)
	ingress := parse(t, bare)
	guarded := ingressgen.Guarded(ingress, ingressgen.SetAnnotation(ingress, ingressgen.AnnotationEnabled, "false"))
	require.Equal(t, map[string]string{ingressgen.AnnotationEnabled: "false"}, parse(t, apply(t, bare, guarded)).Annotations)

	_, err := tryApply(t, []byte(`{"metadata":{"name":"api","annotations":{"team":"a"}},"spec":{}}`), guarded)
	require.Error(t, err)
}

// TestIsCompanion: by label, name and owner; an Ingress that somebody gave our
// label is theirs.
func TestIsCompanion(t *testing.T) {
	t.Parallel()
	companion := func(label, name, owner string) []byte {
		return []byte(`{"metadata":{"name":"` + name + `","labels":{"app.kubernetes.io/managed-by":"` + label + `"},
			"ownerReferences":[{"apiVersion":"networking.k8s.io/v1","kind":"Ingress","name":"` + owner + `","uid":"u","controller":true}]}}`)
	}
	require.True(t, ingressgen.IsCompanion(parse(t, companion("migration-proxy", "api-migration", "api"))))
	require.False(t, ingressgen.IsCompanion(parse(t, companion("Helm", "api-migration", "api"))))
	require.False(t, ingressgen.IsCompanion(parse(t, companion("migration-proxy", "api", "api"))))
	require.False(t, ingressgen.IsCompanion(parse(t, companion("migration-proxy", "api-migration", "web"))))
	require.False(t, ingressgen.IsCompanion(parse(t, []byte(`{"metadata":{"name":"api-migration","labels":{"app.kubernetes.io/managed-by":"migration-proxy"}}}`))))
}

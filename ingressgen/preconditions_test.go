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
	guarded := ingressgen.WithPreconditions(ingress, ingressgen.SetAnnotation(ingress, ingressgen.AnnotationEnabled, "false"))
	require.Equal(t, map[string]string{ingressgen.AnnotationEnabled: "false"}, parse(t, apply(t, bare, guarded)).Annotations)

	_, err := tryApply(t, []byte(`{"metadata":{"name":"api","annotations":{"team":"a"}},"spec":{}}`), guarded)
	require.Error(t, err)
}

// TestIsCompanion: an Ingress that somebody gave our label is theirs.
func TestIsCompanion(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		label, name, service, port string
		want                       bool
	}{
		{"migration-proxy", "api-migration", "api-migration", "8001", true},
		{"migration-proxy", "a.b-migration", "canary-8a7d3cd2b0b1be85-migration", "8001", false}, // another's
		{"Helm", "api-migration", "api-migration", "8001", false},
		{"migration-proxy", "api", "api-migration", "8001", false},
		{"migration-proxy", "api-migration", "web-migration", "8001", false},
		{"migration-proxy", "api-migration", "api-migration", "80", false},
	} {
		require.Equal(t, c.want, ingressgen.IsCompanion(parse(t, []byte(`{"metadata":{"name":"`+c.name+`",
			"labels":{"app.kubernetes.io/managed-by":"`+c.label+`"}},"spec":{"rules":[{"host":"a.example.com","http":{"paths":[
			{"path":"/","backend":{"service":{"name":"`+c.service+`","port":{"number":`+c.port+`}}}}]}}]}}`))), "%v", c)
	}
	empty := parse(t, []byte(`{"metadata":{"name":"api-migration","labels":{"app.kubernetes.io/managed-by":"migration-proxy"}}}`))
	require.False(t, ingressgen.IsCompanion(empty))
}

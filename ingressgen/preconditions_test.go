package ingressgen_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/ingressgen"
)

// TestPreconditionsWithoutAnnotations: the precondition holds for an Ingress
// without annotations, and fails once somebody has written one.
func TestPreconditionsWithoutAnnotations(t *testing.T) {
	t.Parallel()
	bare := []byte(`{"metadata":{"name":"api"},"spec":{}}`)
	ingress := parse(t, bare)
	patch := ingressgen.WithPreconditions(ingress, ingressgen.SetAnnotation(ingress, ingressgen.AnnotationEnabled, "false"))
	require.Equal(t, map[string]string{ingressgen.AnnotationEnabled: "false"}, parse(t, apply(t, bare, patch)).Annotations)

	_, err := tryApply(t, []byte(`{"metadata":{"name":"api","annotations":{"team":"a"}},"spec":{}}`), patch)
	require.Error(t, err)
}

package webhook

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/ingressgen"
)

// TestPresentOriginalStays: annotation original is put back only where it is
// missing. An Ingress that has one keeps its value.
func TestPresentOriginalStays(t *testing.T) {
	t.Parallel()
	const name = ingressgen.AnnotationOriginal
	before := ingress("api", proxyOf(80), 80)
	before.Annotations = map[string]string{name: `{"annotations":{}}`}
	for _, value := range []string{"", `{"backends":[]}`} {
		current := before.DeepCopy()
		current.Annotations[name] = value
		require.Empty(t, restoreLostOriginal(current, before))
		require.Equal(t, value, current.Annotations[name])
	}
	current := before.DeepCopy()
	delete(current.Annotations, name)
	require.NotEmpty(t, restoreLostOriginal(current, before))
	require.Equal(t, before.Annotations, current.Annotations)
}

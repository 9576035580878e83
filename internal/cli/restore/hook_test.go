package restore

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/internal/names"
)

// TestCheckHook: with the ConfigMap of the applied hooks the Job does nothing, and
// the message has the way out. Without it an uninstall is under way.
func TestCheckHook(t *testing.T) {
	c := newCluster(t)
	require.NoError(t, CheckHook(t.Context(), c.Installation))
	maps := c.CoreV1().ConfigMaps(c.Namespace)
	_, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: names.AppliedHooks}}, metav1.CreateOptions{})
	require.NoError(t, err)
	err = CheckHook(t.Context(), c.Installation)
	require.ErrorContains(t, err, "nothing was restored: ConfigMap "+c.Namespace+"/migration-proxy-applied-hooks says")
	require.ErrorContains(t, err, "helm template --no-hooks")
}

package webhook

import (
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/internal/names"
)

// TestWithoutWebhook: while the webhook is away, Ingresses and other ConfigMaps are
// stored as they come. Edits of the migration ConfigMap are refused, but it can be
// deleted: otherwise its namespace could not be deleted.
func TestWithoutWebhook(t *testing.T) {
	t.Parallel()
	s := newInstallation(t)
	ingresses, configMaps := s.NetworkingV1().Ingresses(s.apps), s.CoreV1().ConfigMaps(s.own)
	s.stop()

	stored, err := ingresses.Create(t.Context(), ingress("api", "web", 80), metav1.CreateOptions{})
	require.NoError(t, err)
	requireAsWritten(t, stored)
	stored.Labels = map[string]string{"a": "b"}
	_, err = ingresses.Update(t.Context(), stored, metav1.UpdateOptions{})
	require.NoError(t, err)

	own, err := configMaps.Get(t.Context(), names.ConfigMap, metav1.GetOptions{})
	require.NoError(t, err)
	own.Data[names.ConfigKey] += "\n# changed\n"
	_, err = configMaps.Update(t.Context(), own, metav1.UpdateOptions{})
	require.ErrorContains(t, err, NameConfig)

	others, err := configMaps.List(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=kube-root-ca.crt"})
	require.NoError(t, err)
	for i := range others.Items {
		others.Items[i].Labels = map[string]string{"a": "b"}
		_, err = configMaps.Update(t.Context(), &others.Items[i], metav1.UpdateOptions{})
		require.NoError(t, err)
	}
	plain := configMap(map[string]string{"a": "b"})
	plain.Name = "plain"
	_, err = configMaps.Create(t.Context(), plain, metav1.CreateOptions{})
	require.NoError(t, err)

	require.NoError(t, configMaps.Delete(t.Context(), names.ConfigMap, metav1.DeleteOptions{}))
}

package webhook

import (
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/internal/names"
)

// Without us, Ingresses are written as they come, and so is every ConfigMap
// but the one whose errors nobody else would notice. Even that can be deleted:
// a namespace goes with all that is in it.
func TestWithoutWebhook(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ingresses, configMaps := s.NetworkingV1().Ingresses(s.apps), s.CoreV1().ConfigMaps(s.own)
	s.stop()

	stored, err := ingresses.Create(t.Context(), ingress("api", "web", 80), metav1.CreateOptions{})
	require.NoError(t, err)
	requireAsWritten(t, stored)
	stored.Labels = map[string]string{"a": "b"}
	_, err = ingresses.Update(t.Context(), stored, metav1.UpdateOptions{})
	require.NoError(t, err)

	ours, err := configMaps.Get(t.Context(), names.ConfigMap, metav1.GetOptions{})
	require.NoError(t, err)
	ours.Data[names.ConfigKey] += "\n# changed\n"
	_, err = configMaps.Update(t.Context(), ours, metav1.UpdateOptions{})
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

package kube_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/migration-proxy/migration-proxy/internal/kube"
)

func TestConfigText(t *testing.T) {
	t.Parallel()
	object := kube.NamedConfigMap{Namespace: "ns", Name: "cm"}
	for _, c := range []struct {
		configMap  *corev1.ConfigMap
		text, says string
	}{
		{nil, "", "ConfigMap ns/cm does not exist yet; create it with 'kubectl apply -f FILE'"},
		{&corev1.ConfigMap{}, "", `ConfigMap ns/cm has no key "migration.yaml" (it has none)`},
		{&corev1.ConfigMap{Data: map[string]string{"migration.yml": "x", "a": ""}}, "", "(it has a, migration.yml)"},
		{&corev1.ConfigMap{Data: map[string]string{"migration.yaml": "x"}}, "x", ""},
		{&corev1.ConfigMap{Data: map[string]string{"migration.yaml": ""}}, "", ""},
		{&corev1.ConfigMap{BinaryData: map[string][]byte{"migration.yaml": {0xff}}}, "\xff", ""},
	} {
		text, err := object.ConfigText(c.configMap)
		if c.says != "" {
			require.ErrorContains(t, err, c.says)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, c.text, string(text))
	}
}

package kube

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/internal/names"
)

func TestConfigWarnings(t *testing.T) {
	t.Parallel()
	data := map[string]string{names.ConfigKey: ""}
	for want, configMap := range map[string]*corev1.ConfigMap{
		"":                       {Data: data},
		"it is immutable":        {Data: data, Immutable: new(true)},
		"in binaryData":          {BinaryData: map[string][]byte{names.ConfigKey: nil}},
		"nothing reads it":       {ObjectMeta: metav1.ObjectMeta{Name: "migration-config-9k5m2hft4d"}, Data: data},
		"and not more, notes.md": {Data: map[string]string{names.ConfigKey: "", "notes.md": "", "more": ""}},
	} {
		warnings := ConfigWarnings(configMap)
		if want == "" {
			require.Empty(t, warnings)
			continue
		}
		require.Len(t, warnings, 1)
		require.Contains(t, warnings[0], want)
	}
}

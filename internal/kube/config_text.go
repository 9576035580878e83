package kube

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/migration-proxy/migration-proxy/internal/names"
)

// ConfigText returns the migration config in a version of the ConfigMap that
// Follow delivered. The error says what is missing and how to add it.
func (c NamedConfigMap) ConfigText(configMap *corev1.ConfigMap) ([]byte, error) {
	if configMap == nil {
		return nil, fmt.Errorf("ConfigMap %s does not exist yet; create it with 'kubectl apply -f FILE': "+
			"the migration config is its key %s", c, names.ConfigKey)
	}
	if text, ok := configMap.Data[names.ConfigKey]; ok {
		return []byte(text), nil
	}
	if text, ok := configMap.BinaryData[names.ConfigKey]; ok { // text that is not UTF-8; config.Load says where
		return text, nil
	}
	return nil, fmt.Errorf("ConfigMap %s has no key %q (it has %s); put the migration config there",
		c, names.ConfigKey, keysOf(configMap))
}

func keysOf(configMap *corev1.ConfigMap) string {
	keys := slices.Sorted(maps.Keys(configMap.Data))
	if len(keys) == 0 {
		return "none"
	}
	return strings.Join(keys, ", ")
}

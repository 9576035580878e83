package kube

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/migration-proxy/migration-proxy/internal/names"
)

// ConfigText is the migration config in a version of the ConfigMap, as Follow
// gives it. The error says what is missing and how to write it.
func (o Object) ConfigText(configMap *corev1.ConfigMap) ([]byte, error) {
	if configMap == nil {
		return nil, fmt.Errorf("ConfigMap %s does not exist yet; create it with 'kubectl apply -f FILE': "+
			"the migration config is its key %s", o, names.ConfigKey)
	}
	if text, ok := configMap.Data[names.ConfigKey]; ok {
		return []byte(text), nil
	}
	if text, ok := configMap.BinaryData[names.ConfigKey]; ok { // what is not UTF-8; Load says where
		return text, nil
	}
	return nil, fmt.Errorf("ConfigMap %s has no key %q (it has %s); put the migration config there",
		o, names.ConfigKey, keys(configMap))
}

func keys(configMap *corev1.ConfigMap) string {
	found := slices.Sorted(maps.Keys(configMap.Data))
	if len(found) == 0 {
		return "none"
	}
	return strings.Join(found, ", ")
}

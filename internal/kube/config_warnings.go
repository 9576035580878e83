package kube

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/migration-proxy/migration-proxy/internal/names"
)

// ConfigWarnings says what Kubernetes accepts in the migration ConfigMap without a
// word and what surprises its user later, each with the way out.
func ConfigWarnings(configMap *corev1.ConfigMap) []string {
	var warnings []string
	if configMap.Immutable != nil && *configMap.Immutable {
		warnings = append(warnings, "it is immutable: Kubernetes refuses every later edit, so no percentage can be changed; "+
			"delete the ConfigMap and create it without immutable (the proxies keep the last good config meanwhile)")
	}
	if _, ok := configMap.BinaryData[names.ConfigKey]; ok {
		warnings = append(warnings, "the config is in binaryData, where kubectl edit shows it as base64; write it as text under data")
	}
	if IsHashedConfigName(configMap.Name) {
		warnings = append(warnings, fmt.Sprintf("nothing reads it: only the ConfigMap with the name %s is read; "+
			"with kustomize set generatorOptions: {disableNameSuffixHash: true}", names.ConfigMap))
	}
	keys := slices.Concat(slices.Collect(maps.Keys(configMap.Data)), slices.Collect(maps.Keys(configMap.BinaryData)))
	keys = slices.DeleteFunc(keys, func(key string) bool { return key == names.ConfigKey })
	if len(keys) > 0 {
		slices.Sort(keys)
		warnings = append(warnings, fmt.Sprintf("only key %s is read, and not %s", names.ConfigKey, strings.Join(keys, ", ")))
	}
	return warnings
}

// IsHashedConfigName tells whether a name is that of the migration ConfigMap with a
// suffix, as kustomize's configMapGenerator makes it.
func IsHashedConfigName(name string) bool { return strings.HasPrefix(name, names.ConfigMap+"-") }

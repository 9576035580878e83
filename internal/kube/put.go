package kube

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/internal/names"
)

// Put writes keys into a version of the ConfigMap that was read, and gives the version
// after it. A ConfigMap that has changed since is a conflict, so a writer that does not
// know yet that it has lost the lease is refused. Without a version, nil or one without a
// resourceVersion, the ConfigMap is made: without labels, which are the chart's, because
// helm upgrade would be refused if it found others.
func (c NamedConfigMap) Put(ctx context.Context, version *corev1.ConfigMap, keys map[string]string) (*corev1.ConfigMap, error) {
	after, err := c.put(ctx, version, keys)
	if err != nil {
		return nil, fmt.Errorf("write ConfigMap %s: %w", c, err)
	}
	return after, nil
}

func (c NamedConfigMap) put(ctx context.Context, version *corev1.ConfigMap, keys map[string]string) (*corev1.ConfigMap, error) {
	client := c.Client.CoreV1().ConfigMaps(c.Namespace)
	if version == nil || version.ResourceVersion == "" {
		made := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: c.Name}, Data: keys}
		return client.Create(ctx, made, metav1.CreateOptions{FieldManager: names.Manager})
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]string{"uid": string(version.UID), "resourceVersion": version.ResourceVersion}, "data": keys,
	})
	if err != nil {
		return nil, err
	}
	return client.Patch(ctx, c.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: names.Manager})
}

package kube

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

// LastGood reads the last valid migration config, which the watcher keeps in
// ConfigMap migration-state. Name is what messages call that text. Both are
// empty when there is none.
func LastGood(ctx context.Context, client kubernetes.Interface, namespace string) (name string, text []byte, err error) {
	state, err := client.CoreV1().ConfigMaps(namespace).Get(ctx, names.StateMap, metav1.GetOptions{})
	if err != nil {
		return "", nil, fmt.Errorf("read the last valid migration config: %w", err)
	}
	lastGood, ok := state.Data[status.LastGoodKey]
	if !ok {
		return "", nil, nil
	}
	return fmt.Sprintf("%s/%s[%s]", namespace, names.StateMap, status.LastGoodKey), []byte(lastGood), nil
}

package installation

import (
	"context"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/internal/names"
)

// Key is one key of a ConfigMap of the installation, as it was read.
type Key struct{ ConfigMap, ResourceVersion, Name string }

// Patch replaces the text of a key and nothing else. The error is a conflict when the
// ConfigMap no longer has the resource version. A dry run goes through admission as well.
func (i *Installation) Patch(ctx context.Context, key Key, text string, dryRun bool) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]string{"resourceVersion": key.ResourceVersion},
		"data":     map[string]string{key.Name: text},
	})
	if err != nil {
		return fmt.Errorf("encode the patch: %w", err)
	}
	options := metav1.PatchOptions{FieldManager: names.Manager}
	if dryRun {
		options.DryRun = []string{metav1.DryRunAll}
	}
	_, err = i.CoreV1().ConfigMaps(i.Namespace).Patch(ctx, key.ConfigMap, types.MergePatchType, patch, options)
	if err != nil {
		return Right{"patch", ConfigMaps, i.Namespace}.Explain(err)
	}
	return nil
}

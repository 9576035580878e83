package watcher_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/migration-proxy/migration-proxy/names"
)

// TestStateMadeAgainIsHelms: somebody deleted migration-state and the watcher
// made it anew. The next helm upgrade, which is a server-side apply, takes it
// over.
func TestStateMadeAgainIsHelms(t *testing.T) {
	w := newWorld(t, 1)
	states := w.client.CoreV1().ConfigMaps(w.home)
	require.NoError(t, states.Delete(t.Context(), names.StateMap, metav1.DeleteOptions{}))
	w.write(w.services(map[string]int{"api": 20}))
	w.watch()
	w.eventually(func() bool {
		_, err := states.Get(t.Context(), names.StateMap, metav1.GetOptions{})
		return err == nil
	}, "migration-state is made again")
	charts := applycorev1.ConfigMap(names.StateMap, w.home).WithLabels(map[string]string{names.ManagedByLabel: "Helm"})
	after, err := states.Apply(t.Context(), charts, metav1.ApplyOptions{FieldManager: "helm"})
	require.NoError(t, err)
	require.NotEmpty(t, after.Data)
}

package watcher_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
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

// TestPauseOutlives the ConfigMap that says it: it is deleted with all that is
// ours, while a watcher still runs.
func TestPauseOutlives(t *testing.T) {
	w := newWorld(t, 1)
	w.write(w.services(map[string]int{"api": 20}))
	w.create(w.ingress("api"))
	w.watch()
	w.until("api", status.Migrating, names.ProxyService)
	w.pause(`"restore --all"`)
	w.until("api", "", "api")
	states := w.client.CoreV1().ConfigMaps(w.home)
	require.NoError(t, states.Delete(t.Context(), names.StateMap, metav1.DeleteOptions{}))
	w.eventually(func() bool {
		found, err := states.Get(t.Context(), names.StateMap, metav1.GetOptions{})
		return err == nil && found.Data[status.PausedKey] == "restore --all"
	}, "it is made again, with the pause")
	w.quiet()
	require.Equal(t, "api", backendOf(w.get("api")))
}

// TestGoodIsServed: the last good config is one that a replica has put in force.
func TestGoodIsServed(t *testing.T) {
	w := newWorld(t, 2)
	w.create(w.ingress("api"))
	w.watch()
	first := w.services(map[string]int{"api": 20})
	w.write(first)
	lastGood := func() string {
		found, err := w.client.CoreV1().ConfigMaps(w.home).Get(t.Context(), names.StateMap, metav1.GetOptions{})
		require.NoError(t, err)
		return found.Data[status.LastGoodKey]
	}
	w.eventually(func() bool { return lastGood() == first }, "it is served")

	refused := w.services(map[string]int{"api": 30})
	w.put(w.config(refused)) // which the proxies do not say that they serve
	w.eventually(func() bool { return w.get("api").Annotations[ingressgen.AnnotationShare] == "30" }, "the config is valid")
	w.quiet()
	require.Equal(t, first, lastGood())
	w.write(refused)
	w.eventually(func() bool { return lastGood() == refused }, "one serves it")
}

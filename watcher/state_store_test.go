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

// TestHelmTakesState: the watcher makes migration-state after somebody deleted
// it. The next helm upgrade, which is a server-side apply, takes it over.
func TestHelmTakesState(t *testing.T) {
	env := newTestEnv(t, 1)
	states := env.client.CoreV1().ConfigMaps(env.home)
	require.NoError(t, states.Delete(t.Context(), names.StateMap, metav1.DeleteOptions{}))
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	env.startWatcher()
	env.eventually(func() bool {
		_, err := states.Get(t.Context(), names.StateMap, metav1.GetOptions{})
		return err == nil
	}, "migration-state is made again")
	charts := applycorev1.ConfigMap(names.StateMap, env.home).WithLabels(map[string]string{names.ManagedByLabel: "Helm"})
	after, err := states.Apply(t.Context(), charts, metav1.ApplyOptions{FieldManager: "helm"})
	require.NoError(t, err)
	require.NotEmpty(t, after.Data)
}

// TestPauseOutlivesState: the pause holds when its ConfigMap is deleted with
// everything of the migration proxy, while a watcher still runs.
func TestPauseOutlivesState(t *testing.T) {
	env := newTestEnv(t, 1)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	env.createIngress(env.newIngress("api"))
	env.startWatcher()
	env.waitForPhase("api", status.Migrating, proxyOf("api"))
	env.pause(`"restore --all"`)
	env.waitForPhase("api", "", "api")
	states := env.client.CoreV1().ConfigMaps(env.home)
	require.NoError(t, states.Delete(t.Context(), names.StateMap, metav1.DeleteOptions{}))
	env.eventually(func() bool {
		found, err := states.Get(t.Context(), names.StateMap, metav1.GetOptions{})
		return err == nil && found.Data[status.PausedKey] == "restore --all"
	}, "it is made again, with the pause")
	env.waitForQuiet()
	require.Equal(t, "api", backendOf(env.getIngress("api")))
}

// TestLastGoodIsServed: the last good config is one that a replica serves.
func TestLastGoodIsServed(t *testing.T) {
	env := newTestEnv(t, 2)
	env.createIngress(env.newIngress("api"))
	env.startWatcher()
	first := env.servicesConfig(map[string]int{"api": 20})
	env.writeConfig(first)
	lastGood := func() string {
		found, err := env.client.CoreV1().ConfigMaps(env.home).Get(t.Context(), names.StateMap, metav1.GetOptions{})
		require.NoError(t, err)
		return found.Data[status.LastGoodKey]
	}
	env.eventually(func() bool { return lastGood() == first }, "it is served")

	refused := env.servicesConfig(map[string]int{"api": 30})
	env.putConfigMap(env.configMap(refused)) // which the proxies do not say that they serve
	env.eventually(func() bool { return env.getIngress("api").Annotations[ingressgen.AnnotationShare] == "30" }, "the config is valid")
	env.waitForQuiet()
	require.Equal(t, first, lastGood())
	env.writeConfig(refused)
	env.eventually(func() bool { return lastGood() == refused }, "one serves it")
}

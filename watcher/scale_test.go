package watcher_test

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

// TestMany: with many services, an edit of one writes its Ingress and no other,
// and the cluster's other Ingresses take little memory. The number is 300, or
// what MIGRATION_PROXY_INGRESSES says.
func TestMany(t *testing.T) {
	count := 300
	if text := os.Getenv("MIGRATION_PROXY_INGRESSES"); text != "" {
		var err error
		count, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	env := newTestEnv(t, 2)
	shares := map[string]int{}
	for i := range count {
		shares[fmt.Sprintf("api-%d", i)] = 20
	}
	env.writeConfig(env.servicesConfig(shares))
	env.createMany(count, "api", true)
	env.createMany(count, "other", false)
	empty := heap()
	started, stop := env.startWith(env.options())
	began := time.Now()
	require.Eventually(t, func() bool { return len(env.writes.of("ingresses")) >= count }, 3*time.Minute, 50*time.Millisecond)
	t.Logf("%d Ingresses rewritten in %s", count, time.Since(began))
	env.waitForQuiet()
	require.Equal(t, count, env.countPhase(status.Migrating, ""))
	env.writes.clear()
	t.Logf("heap for %d Ingresses of ours and %d of others: %.1f MB", count, count, float64(heap()-empty)/1e6)

	shares["api-7"] = 21
	env.writeConfig(env.servicesConfig(shares))
	edited := time.Now()
	env.eventually(func() bool { return env.getIngress("api-7").Annotations[ingressgen.AnnotationShare] == "21" }, "the edit")
	t.Logf("one edit took %s", time.Since(edited))
	env.waitForQuiet()
	writes := env.writes.of("ingresses")
	require.Len(t, writes, 1)
	require.Contains(t, writes[0].path, "/api-7")
	require.LessOrEqual(t, len(env.writes.of("")), 2, "that, and the last good config, if it fits")
	env.requireMetrics(started, count)
	stop()
}

func (env *testEnv) createMany(count int, prefix string, enabled bool) {
	env.Helper()
	env.createAll(count, func(i int) *networkingv1.Ingress {
		ingress := env.newIngress(fmt.Sprintf("%s-%d", prefix, i))
		if !enabled {
			delete(ingress.Annotations, ingressgen.AnnotationEnabled)
		}
		return ingress
	})
}

// createAll creates that many Ingresses, eight at a time.
func (env *testEnv) createAll(count int, make func(int) *networkingv1.Ingress) {
	env.Helper()
	var creating sync.WaitGroup
	for worker := range 8 {
		creating.Go(func() {
			for i := worker; i < count; i += 8 {
				ingress := make(i)
				if _, err := env.client.NetworkingV1().Ingresses(env.app).Create(env.Context(), ingress, metav1.CreateOptions{}); err != nil {
					env.Error(err)
				}
			}
		})
	}
	creating.Wait()
}

func heap() int64 {
	runtime.GC()
	runtime.GC() // the first call only moves pooled memory to where the second frees it
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// clear forgets the writes.
func (w *apiWrites) clear() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = nil
}

// requireMetrics: the metrics show the state.
func (env *testEnv) requireMetrics(collector prometheus.Collector, count int) {
	env.Helper()
	found := env.gather(collector)
	for name, want := range map[string]float64{
		"migration_proxy_ingresses Migrating":                           float64(count),
		"migration_proxy_ingresses FallenBack":                          0,
		"migration_proxy_cluster_phase Migrating api-7":                 1,
		"migration_proxy_watcher_replicas ready":                        2,
		"migration_proxy_watcher_replicas answered":                     2,
		"migration_proxy_watcher_replica_config_in_sync proxy-10.1.0.1": 1,
		"migration_proxy_watcher_config_valid":                          1,
		"migration_proxy_watcher_failing":                               0,
		"migration_proxy_watcher_writes_total Ingress ok":               float64(count + 1),
	} {
		require.Contains(env, found, name)
		require.InDelta(env, want, found[name], 0, name)
	}
	require.InDelta(env, float64(time.Now().Unix()), found["migration_proxy_watcher_last_success_timestamp_seconds"], 5)
}

// gather returns the metrics by name and labels.
func (env *testEnv) gather(collector prometheus.Collector) map[string]float64 {
	env.Helper()
	registry := prometheus.NewPedanticRegistry()
	require.NoError(env, registry.Register(collector))
	families, err := registry.Gather()
	require.NoError(env, err)
	found := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.Metric {
			name := family.GetName()
			for _, label := range metric.Label {
				name += " " + label.GetValue()
			}
			found[name] = metric.GetGauge().GetValue() + metric.GetCounter().GetValue()
		}
	}
	return found
}

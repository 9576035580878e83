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
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

// TestMany: of many services, an edit of one writes its Ingress and no other;
// and a cluster's other Ingresses cost next to nothing. The number is 300, or
// what MIGRATION_PROXY_INGRESSES says.
func TestMany(t *testing.T) {
	count := 300
	if text := os.Getenv("MIGRATION_PROXY_INGRESSES"); text != "" {
		var err error
		count, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	w := newWorld(t, 2)
	shares := map[string]int{}
	for i := range count {
		shares[fmt.Sprintf("api-%d", i)] = 20
	}
	w.write(w.services(shares))
	w.createMany(count, "api", true)
	w.createMany(count, "other", false)
	empty := heap()
	started, stop := w.start(w.options())
	began := time.Now()
	require.Eventually(t, func() bool { return len(w.journal.of("ingresses")) >= count }, 3*time.Minute, 50*time.Millisecond)
	t.Logf("%d Ingresses rewritten in %s", count, time.Since(began))
	w.quiet()
	require.Equal(t, count, w.countIn(status.Migrating, names.ProxyService))
	w.journal.forget()
	t.Logf("heap for %d Ingresses of ours and %d of others: %.1f MB", count, count, float64(heap()-empty)/1e6)

	shares["api-7"] = 21
	w.write(w.services(shares))
	edited := time.Now()
	w.eventually(func() bool { return w.get("api-7").Annotations[ingressgen.AnnotationShare] == "21" }, "the edit")
	t.Logf("one edit took %s", time.Since(edited))
	w.quiet()
	writes := w.journal.of("ingresses")
	require.Len(t, writes, 1)
	require.Contains(t, writes[0].path, "/api-7")
	require.LessOrEqual(t, len(w.journal.of("")), 2, "that, and the last good config, if it fits")
	w.metrics(started, count)
	stop()
}

func (w *world) createMany(count int, prefix string, enabled bool) {
	w.Helper()
	w.createAll(count, func(i int) *networkingv1.Ingress {
		ingress := w.ingress(fmt.Sprintf("%s-%d", prefix, i))
		if !enabled {
			delete(ingress.Annotations, ingressgen.AnnotationEnabled)
		}
		return ingress
	})
}

// createAll creates that many Ingresses, eight at a time.
func (w *world) createAll(count int, make func(int) *networkingv1.Ingress) {
	w.Helper()
	var creating sync.WaitGroup
	for worker := range 8 {
		creating.Go(func() {
			for i := worker; i < count; i += 8 {
				ingress := make(i)
				if _, err := w.client.NetworkingV1().Ingresses(w.app).Create(w.Context(), ingress, metav1.CreateOptions{}); err != nil {
					w.Error(err)
				}
			}
		})
	}
	creating.Wait()
}

func heap() int64 {
	runtime.GC()
	runtime.GC() // what the first one freed of pools
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// forget empties the journal.
func (j *journal) forget() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.writes = nil
}

// metrics: what an operator sees is what is.
func (w *world) metrics(collector prometheus.Collector, count int) {
	w.Helper()
	found := w.gather(collector)
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
		require.Contains(w, found, name)
		require.InDelta(w, want, found[name], 0, name)
	}
	require.InDelta(w, float64(time.Now().Unix()), found["migration_proxy_watcher_last_success_timestamp_seconds"], 5)
}

// gather gives the metrics by name and labels.
func (w *world) gather(collector prometheus.Collector) map[string]float64 {
	w.Helper()
	registry := prometheus.NewPedanticRegistry()
	require.NoError(w, registry.Register(collector))
	families, err := registry.Gather()
	require.NoError(w, err)
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

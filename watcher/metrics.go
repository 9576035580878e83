package watcher

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/migration-proxy/migration-proxy/internal/gauge"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/watcher/apiwrite"
	"github.com/migration-proxy/migration-proxy/watcher/clusterramp"
	"github.com/migration-proxy/migration-proxy/watcher/notifier"
	"github.com/migration-proxy/migration-proxy/watcher/servicestate"
)

// gaugeValues is what the gauges show: a copy of the state loop's state.
type gaugeValues struct {
	savedAt        time.Time // when migration-state was last known to be the state
	services       map[string]status.ClusterService
	ingresses      map[status.Phase]int
	replicas       []servicestate.ReplicaStatus
	digest         string // of the table in force; "": none
	configRejected bool   // the newest config is not in force
	paused         bool
}

// metrics are the Watcher's. While it does not lead only counters exist.
type metrics struct {
	writes   apiwrite.Counter
	failures *kube.FailureLog
	gauges   atomic.Pointer[gaugeValues]
	ramps    *clusterramp.Metrics

	notifications *prometheus.CounterVec
}

func newMetrics(failures *kube.FailureLog) *metrics {
	return &metrics{failures: failures, writes: apiwrite.NewCounter(), ramps: clusterramp.NewMetrics(), notifications: notifier.NewCounter()}
}

var (
	descPhase     = gauge.Desc("cluster_phase", "1 for the phase that a service is in over all replicas, 0 for the others.", "service", "phase")
	descIngresses = gauge.Desc("ingresses", "Opted-in Ingresses by phase.", "phase")
	descReplicas  = gauge.Desc("watcher_replicas", "Replicas of the data plane, by state: known, ready, and answered (the last status request succeeded).", "state")
	descSynced    = gauge.Desc("watcher_replica_config_in_sync", "1 when the replica serves the newest valid config.", "pod")
	descValid     = gauge.Desc("watcher_config_valid", "1 when the newest config is valid.")
	descPaused    = gauge.Desc("watcher_paused", "1 while the migration is paused by restore --all and no Ingress is rewritten.")
	descFailing   = gauge.Desc("watcher_failing", "Objects whose last write failed; each write is tried again.")
	descSuccess   = gauge.Desc("watcher_last_success_timestamp_seconds", "Time of the last check of config, replicas and state that was saved, in seconds since 1970.")

	clusterPhases = []status.Phase{status.Migrating, status.FallenBack, status.Bypassed}
)

// Describe implements prometheus.Collector.
func (m *metrics) Describe(out chan<- *prometheus.Desc) {
	m.writes.Describe(out)
	m.ramps.Describe(out)
	m.notifications.Describe(out)
	for _, d := range []*prometheus.Desc{
		descPhase, descIngresses, descReplicas, descSynced, descValid, descPaused, descFailing, descSuccess,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	m.writes.Collect(out)
	m.ramps.Collect(out)
	m.notifications.Collect(out)
	values := m.gauges.Load()
	if values == nil {
		return
	}
	set := gauge.To(out)
	values.collect(set)
	set(descFailing, float64(m.failures.Count()))
}

func (v *gaugeValues) collect(set gauge.Set) {
	for name, service := range v.services {
		for _, phase := range clusterPhases {
			set(descPhase, gauge.OneIf(service.Phase == phase), name, string(phase))
		}
	}
	for _, phase := range clusterPhases {
		set(descIngresses, float64(v.ingresses[phase]), string(phase))
	}
	v.collectReplicas(set)
	set(descValid, gauge.OneIf(!v.configRejected))
	set(descPaused, gauge.OneIf(v.paused))
	if !v.savedAt.IsZero() {
		set(descSuccess, float64(v.savedAt.UnixMilli())/1000)
	}
}

func (v *gaugeValues) collectReplicas(set gauge.Set) {
	ready, answered := 0, 0
	for i := range v.replicas {
		replica := &v.replicas[i]
		if replica.Ready {
			ready++
		}
		if replica.Answered {
			answered++
		}
		set(descSynced, gauge.OneIf(v.digest != "" && replica.Status.Config.Digest == v.digest), replica.Pod)
	}
	set(descReplicas, float64(len(v.replicas)), "known")
	set(descReplicas, float64(ready), "ready")
	set(descReplicas, float64(answered), "answered")
}

package watcher

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/watcher/apiwrite"
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
	ramps    atomic.Pointer[rampValues]

	rampTransitions *prometheus.CounterVec
	notifications   *prometheus.CounterVec
}

func newMetrics(failures *kube.FailureLog) *metrics {
	return &metrics{failures: failures, notifications: notifier.NewCounter(), writes: apiwrite.NewCounter(), rampTransitions: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "migration_proxy_ramp_transitions_total",
		Help: "Transitions of a service's ramp, by the state that it came to.",
	}, []string{"service", "to"})}
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("migration_proxy_"+name, help, labels, nil)
}

var (
	descPhase     = desc("cluster_phase", "1 for the phase that a service is in over all replicas, 0 for the others.", "service", "phase")
	descIngresses = desc("ingresses", "Opted-in Ingresses by phase.", "phase")
	descReplicas  = desc("watcher_replicas", "Replicas of the data plane, by state: known, ready, and answered (the last status request succeeded).", "state")
	descSynced    = desc("watcher_replica_config_in_sync", "1 when the replica serves the newest valid config.", "pod")
	descValid     = desc("watcher_config_valid", "1 when the newest config is valid.")
	descPaused    = desc("watcher_paused", "1 while the migration is paused by restore --all and no Ingress is rewritten.")
	descFailing   = desc("watcher_failing", "Objects whose last write failed; each write is tried again.")
	descSuccess   = desc("watcher_last_success_timestamp_seconds", "Time of the last check of config, replicas and state that was saved, in seconds since 1970.")

	clusterPhases = []status.Phase{status.Migrating, status.FallenBack, status.Bypassed}
)

// Describe implements prometheus.Collector.
func (w *Watcher) Describe(out chan<- *prometheus.Desc) {
	w.metrics.writes.Describe(out)
	w.metrics.rampTransitions.Describe(out)
	w.metrics.notifications.Describe(out)
	for _, d := range append([]*prometheus.Desc{
		descPhase, descIngresses, descReplicas, descSynced, descValid, descPaused, descFailing, descSuccess,
	}, rampDescs...) {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (w *Watcher) Collect(out chan<- prometheus.Metric) {
	w.metrics.writes.Collect(out)
	w.metrics.rampTransitions.Collect(out)
	w.metrics.notifications.Collect(out)
	values := w.metrics.gauges.Load()
	if values == nil {
		return
	}
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	values.collect(gauge)
	if ramps := w.metrics.ramps.Load(); ramps != nil {
		ramps.collect(gauge)
	}
	gauge(descFailing, float64(w.metrics.failures.Count()))
}

type gauge func(d *prometheus.Desc, value float64, labels ...string)

func (v *gaugeValues) collect(gauge gauge) {
	for name, service := range v.services {
		for _, phase := range clusterPhases {
			gauge(descPhase, oneIf(service.Phase == phase), name, string(phase))
		}
	}
	for _, phase := range clusterPhases {
		gauge(descIngresses, float64(v.ingresses[phase]), string(phase))
	}
	v.collectReplicas(gauge)
	gauge(descValid, oneIf(!v.configRejected))
	gauge(descPaused, oneIf(v.paused))
	if !v.savedAt.IsZero() {
		gauge(descSuccess, float64(v.savedAt.UnixMilli())/1000)
	}
}

func (v *gaugeValues) collectReplicas(gauge gauge) {
	ready, answered := 0, 0
	for i := range v.replicas {
		replica := &v.replicas[i]
		if replica.Ready {
			ready++
		}
		if replica.Answered {
			answered++
		}
		gauge(descSynced, oneIf(v.digest != "" && replica.Status.Config.Digest == v.digest), replica.Pod)
	}
	gauge(descReplicas, float64(len(v.replicas)), "known")
	gauge(descReplicas, float64(ready), "ready")
	gauge(descReplicas, float64(answered), "answered")
}

func oneIf(condition bool) float64 {
	if condition {
		return 1
	}
	return 0
}

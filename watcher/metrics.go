package watcher

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/migration-proxy/migration-proxy/internal/status"
)

// snapshot is what the metrics are made of: a copy of the owner's state.
type snapshot struct {
	at        time.Time // of the last time that all of it was looked at with success
	services  map[string]status.ClusterService
	ingresses map[status.Phase]int
	words     []Word
	digest    string // of the table in force; "": none
	rejected  bool   // the newest config is not in force
	paused    bool
}

// metrics are the Watcher's. Only counters exist while it does not lead.
type metrics struct {
	writes  *prometheus.CounterVec
	faults  *faults
	current atomic.Pointer[snapshot]
}

func newMetrics(faults *faults) *metrics {
	return &metrics{faults: faults, writes: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "migration_proxy_watcher_writes_total",
		Help: "Writes to the API server, by kind of object and result: ok, conflict, refused, failed.",
	}, []string{"kind", "result"})}
}

// wrote counts a write and passes its error on.
func (m *metrics) wrote(kind string, err error) error {
	m.writes.WithLabelValues(kind, result(err)).Inc()
	return err
}

func result(err error) string {
	switch {
	case err == nil:
		return "ok"
	case changedMeanwhile(err):
		return "conflict"
	case apierrors.IsForbidden(err), apierrors.IsBadRequest(err), apierrors.IsUnauthorized(err):
		return "refused"
	}
	return "failed"
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("migration_proxy_"+name, help, labels, nil)
}

var (
	descPhase     = desc("cluster_phase", "1 for the phase that a service is in over all replicas, 0 for the others.", "service", "phase")
	descIngresses = desc("ingresses", "Opted-in Ingresses by phase.", "phase")
	descReplicas  = desc("watcher_replicas", "Replicas of the data plane: known, ready, and those that answered when asked last.", "state")
	descSynced    = desc("watcher_replica_config_in_sync", "1 when the replica serves the newest valid config.", "pod")
	descValid     = desc("watcher_config_valid", "1 when the newest config is valid.")
	descPaused    = desc("watcher_paused", "1 while nothing is rewritten, by restore --all.")
	descFailing   = desc("watcher_failing", "Objects whose last write failed; each is tried again.")
	descSuccess   = desc("watcher_last_success_timestamp_seconds", "When config, replicas and state were last looked at and recorded, in seconds since 1970.")

	clusterPhases = []status.Phase{status.Migrating, status.FallenBack, status.Bypassed}
)

// Describe implements prometheus.Collector.
func (w *Watcher) Describe(out chan<- *prometheus.Desc) {
	w.metrics.writes.Describe(out)
	for _, d := range []*prometheus.Desc{
		descPhase, descIngresses, descReplicas, descSynced, descValid, descPaused, descFailing, descSuccess,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (w *Watcher) Collect(out chan<- prometheus.Metric) {
	w.metrics.writes.Collect(out)
	now := w.metrics.current.Load()
	if now == nil {
		return
	}
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	now.collect(gauge)
	gauge(descFailing, float64(w.metrics.faults.count()))
}

type gauge func(d *prometheus.Desc, value float64, labels ...string)

func (s *snapshot) collect(gauge gauge) {
	for name, service := range s.services {
		for _, phase := range clusterPhases {
			gauge(descPhase, one(service.Phase == phase), name, string(phase))
		}
	}
	for _, phase := range clusterPhases {
		gauge(descIngresses, float64(s.ingresses[phase]), string(phase))
	}
	s.collectReplicas(gauge)
	gauge(descValid, one(!s.rejected))
	gauge(descPaused, one(s.paused))
	if !s.at.IsZero() {
		gauge(descSuccess, float64(s.at.UnixMilli())/1000)
	}
}

func (s *snapshot) collectReplicas(gauge gauge) {
	ready, answered := 0, 0
	for i := range s.words {
		word := &s.words[i]
		if word.Ready {
			ready++
		}
		if word.Answered {
			answered++
		}
		gauge(descSynced, one(s.digest != "" && word.Status.Config.Digest == s.digest), word.Pod)
	}
	gauge(descReplicas, float64(len(s.words)), "known")
	gauge(descReplicas, float64(ready), "ready")
	gauge(descReplicas, float64(answered), "answered")
}

func one(condition bool) float64 {
	if condition {
		return 1
	}
	return 0
}

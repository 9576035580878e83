package httpapi

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/migration-proxy/migration-proxy/internal/status"
)

var (
	descInfo = desc("build_info", "1, with the version as label.", "version")
	descUp   = desc("nginx_up", "1 while nginx runs.")

	descHoles = desc("nginx_known_holes", "Published weaknesses of this version of nginx that matter for the proxy; /status names them. A distributor may have mended them without changing the version.", "version")

	descResults  = desc("config_reloads_total", "Configs read, by result: applied, or the stage that rejected the config (load, generate, test, apply).", "result")
	descReady    = desc("ready", "1 when this replica can take traffic.")
	descInSync   = desc("config_in_sync", "1 when the newest config is in force, 0 when it was rejected or no config is in force.")
	descSince    = desc("config_last_success_timestamp_seconds", "Time at which the current config was put in force, in seconds since 1970; 0 without a config.")
	descReloads  = desc("nginx_reloads_total", "Reloads of nginx since the agent started.")
	descRestarts = desc("nginx_restarts_total", "Unplanned restarts of nginx since the agent started.")
	descSides    = desc("side_check_failed", "1 while nginx does not see the shares of the services and sends everything to old; the replica is then not ready.")
	descSide     = desc("service_side_check_failed", "1 while nginx sends requests of the service elsewhere than its share says.", "service")
	descPhase    = desc("phase", "1 for the phase a service is in, 0 for the others.", "service", "phase")
	descDesired  = desc("share_desired_ratio", "Part of the traffic, 0 to 1, that the config sends to new.", "service")
	descObserved = desc("share_observed_ratio", "Part of the last minute's requests, 0 to 1, that the decision sent to new, since the share last changed; absent with fewer than 20 requests.", "service")
	descDeviates = desc("share_deviates", "1 while what is served differs from the share that is wanted by more than chance explains; /status has the counts.", "service")
	descCerts    = desc("certificate_files_unusable", "1 while the newest content of the certificate files that a service needs for new cannot be used; the last good content is used.", "service")
	descUnres    = desc("backend_unresolved", "1 when the last DNS lookup of the backend failed; addresses known before stay in use.", "service", "side")
)

var phases = []status.Phase{status.Disabled, status.Migrating, status.FallenBack, status.Recovering}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("migration_proxy_"+name, help, labels, nil)
}

// StatusCollector turns the status document into metrics, so that /status and
// /metrics agree. New registers it for a proxy replica.
type StatusCollector struct{ Current func() status.Status }

// Describe implements prometheus.Collector.
func (c StatusCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descInfo, descUp, descResults, descReady, descInSync, descSince, descReloads, descRestarts,
		descPhase, descDesired, descObserved, descDeviates, descUnres, descCerts, descSides, descSide, descHoles,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c StatusCollector) Collect(out chan<- prometheus.Metric) {
	now := c.Current()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	gauge(descInfo, 1, now.Version)
	gauge(descUp, one(now.Nginx.PID != 0))
	gauge(descHoles, float64(len(now.Nginx.KnownHoles)), now.Nginx.Version)
	gauge(descReady, one(now.Ready))
	gauge(descInSync, one(now.Config.InSync()))
	gauge(descSince, unixSeconds(now.Config.Since))
	out <- prometheus.MustNewConstMetric(descReloads, prometheus.CounterValue, float64(now.Nginx.Reloads))
	out <- prometheus.MustNewConstMetric(descRestarts, prometheus.CounterValue, float64(now.Nginx.Restarts))
	gauge(descSides, one(now.Nginx.SideProblem != ""))
	for result, count := range now.Config.Results {
		out <- prometheus.MustNewConstMetric(descResults, prometheus.CounterValue, float64(count), result)
	}
	for i := range now.Services {
		collectService(&now.Services[i], now.Now, gauge)
	}
}

func collectService(s *status.Service, now time.Time, gauge func(*prometheus.Desc, float64, ...string)) {
	for _, phase := range phases {
		gauge(descPhase, one(s.Phase == phase), s.Name, string(phase))
	}
	gauge(descDesired, s.Share/100, s.Name)
	if s.Observed != nil {
		gauge(descObserved, *s.Observed/100, s.Name)
	}
	gauge(descDeviates, one(s.Deviation(now) != ""), s.Name)
	gauge(descUnres, one(s.Old.Unresolved != ""), s.Name, "old")
	gauge(descUnres, one(s.New.Unresolved != ""), s.Name, "new")
	gauge(descSide, one(s.SideProblem != ""), s.Name)
	gauge(descCerts, one(s.New.CertificateProblem != ""), s.Name)
}

func one(condition bool) float64 {
	if condition {
		return 1
	}
	return 0
}

func unixSeconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

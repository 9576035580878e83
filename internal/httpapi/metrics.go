package httpapi

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/migration-proxy/migration-proxy/internal/gauge"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

var (
	descInfo = gauge.Desc("build_info", "1, with the version as label.", "version")
	descUp   = gauge.Desc("nginx_up", "1 while nginx runs.")

	descWorkers = gauge.Desc("nginx_workers", "Worker processes of nginx, by state: serving, or shutting_down (a reload has replaced them, and they still have clients, such as websockets). Each has its own memory.", "state")

	descHoles = gauge.Desc("nginx_known_holes", "Published weaknesses of this version of nginx that matter for the proxy; /status names them. A distributor may have mended them without changing the version.", "version")

	descResults  = gauge.Desc("config_reloads_total", "Configs read, by result: applied, or the stage that rejected the config (load, generate, test, apply).", "result")
	descReady    = gauge.Desc("ready", "1 when this replica can take traffic.")
	descInSync   = gauge.Desc("config_in_sync", "1 when the newest config is in force, 0 when it was rejected or no config is in force.")
	descSince    = gauge.Desc("config_last_success_timestamp_seconds", "Time at which the current config was put in force, in seconds since 1970; 0 without a config.")
	descReloads  = gauge.Desc("nginx_reloads_total", "Reloads of nginx since the agent started.")
	descRestarts = gauge.Desc("nginx_restarts_total", "Unplanned restarts of nginx since the agent started.")
	descSides    = gauge.Desc("side_check_failed", "1 while nginx does not see the shares of the services and sends everything to old, or answers nothing; the replica is then not ready.")
	descTaken    = gauge.Desc("connections_taken", "1 while nginx has no connection for a request to a backend, so that requests fail; the replica is then not ready.")
	descMemory   = gauge.Desc("memory_taken", "1 when nginx's workers were refused memory within the last minute, as four fifths of the container's are taken; the connections that needed it were ended.")
	descSide     = gauge.Desc("service_side_check_failed", "1 while nginx sends requests of the service elsewhere than its share says.", "service")
	descPhase    = gauge.Desc("phase", "1 for the phase a service is in, 0 for the others.", "service", "phase")
	descDesired  = gauge.Desc("share_desired_ratio", "Part of the traffic, 0 to 1, that the config sends to new.", "service")
	descObserved = gauge.Desc("share_observed_ratio", "Part of the last minute's requests, 0 to 1, that the decision sent to new, since the share last changed; absent with fewer than 20 requests.", "service")
	descDeviates = gauge.Desc("share_deviates", "1 while what is served differs from the share that is wanted by more than chance explains; /status has the counts.", "service")
	descCerts    = gauge.Desc("certificate_files_unusable", "1 while the newest content of the certificate files that a service needs for new cannot be used; the last good content is used.", "service")
	descUnres    = gauge.Desc("backend_unresolved", "1 when the last DNS lookup of the backend failed; addresses known before stay in use.", "service", "side")
)

var phases = []status.Phase{status.Disabled, status.Migrating, status.FallenBack, status.Recovering}

// StatusCollector turns the status document into metrics, so that /status and
// /metrics agree. New registers it for a proxy replica.
type StatusCollector struct{ Current func() status.Status }

// Describe implements prometheus.Collector.
func (c StatusCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descInfo, descUp, descResults, descReady, descInSync, descSince, descReloads, descRestarts,
		descPhase, descDesired, descObserved, descDeviates, descUnres, descCerts, descSides, descTaken, descMemory, descSide, descHoles, descWorkers,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c StatusCollector) Collect(out chan<- prometheus.Metric) {
	now := c.Current()
	set := gauge.To(out)
	set(descInfo, 1, now.Version)
	set(descUp, gauge.OneIf(now.Nginx.PID != 0))
	set(descHoles, float64(len(now.Nginx.KnownHoles)), now.Nginx.Version)
	if workers := now.Nginx.Workers; workers != nil {
		set(descWorkers, float64(workers.Serving), "serving")
		set(descWorkers, float64(workers.ShuttingDown), "shutting_down")
	}
	set(descReady, gauge.OneIf(now.Ready))
	set(descInSync, gauge.OneIf(now.Config.InSync()))
	set(descSince, unixSeconds(now.Config.Since))
	out <- prometheus.MustNewConstMetric(descReloads, prometheus.CounterValue, float64(now.Nginx.Reloads))
	out <- prometheus.MustNewConstMetric(descRestarts, prometheus.CounterValue, float64(now.Nginx.Restarts))
	set(descSides, gauge.OneIf(now.Nginx.SideProblem != "" && !now.Nginx.ConnectionsTaken))
	set(descTaken, gauge.OneIf(now.Nginx.ConnectionsTaken))
	set(descMemory, gauge.OneIf(now.Nginx.MemoryTaken))
	for result, count := range now.Config.Results {
		out <- prometheus.MustNewConstMetric(descResults, prometheus.CounterValue, float64(count), result)
	}
	for i := range now.Services {
		collectService(&now.Services[i], now.Now, set)
	}
}

func collectService(s *status.Service, now time.Time, set gauge.Set) {
	for _, phase := range phases {
		set(descPhase, gauge.OneIf(s.Phase == phase), s.Name, string(phase))
	}
	set(descDesired, s.Share/100, s.Name)
	if s.Observed != nil {
		set(descObserved, *s.Observed/100, s.Name)
	}
	set(descDeviates, gauge.OneIf(s.Deviation(now) != ""), s.Name)
	set(descUnres, gauge.OneIf(s.Old.Unresolved != ""), s.Name, "old")
	set(descUnres, gauge.OneIf(s.New.Unresolved != ""), s.Name, "new")
	set(descSide, gauge.OneIf(s.SideProblem != ""), s.Name)
	set(descCerts, gauge.OneIf(s.New.CertificateProblem != ""), s.Name)
}

func unixSeconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

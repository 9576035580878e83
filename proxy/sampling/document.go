package sampling

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/migration-proxy/migration-proxy/compare"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// Idle tells whether no service is compared.
func (s *Sampler) Idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.services) == 0
}

// Tally is what was found since a time, at most an hour ago; nil if the service is not
// compared.
func (s *Sampler) Tally(name migration.Name, from, now time.Time) *compare.Tally {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.services[name]
	if w == nil {
		return nil
	}
	return w.slots.since(from, now)
}

// Comparison is the short form for status and evidence; nil if the service is not
// compared.
func (s *Sampler) Comparison(name migration.Name, now time.Time) *status.Comparison {
	tally := s.Tally(name, time.Time{}, now)
	if tally == nil {
		return nil
	}
	report := tally.Report()
	short := &status.Comparison{Samples: report.Samples, Same: report.Same, Covered: report.Covered, Paused: s.paused(name, now)}
	for _, f := range report.Findings[:min(len(report.Findings), maxFindings)] {
		short.Findings = append(short.Findings, fmt.Sprintf("%.1f %% %s: %s: %s", f.Share, f.Route, f.Cause, f.Text))
	}
	return short
}

// maxFindings is how many findings the short form has.
const maxFindings = 5

func (s *Sampler) paused(name migration.Name, now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.services[name]; w != nil {
		return w.guard.paused(now)
	}
	return ""
}

// ServeHTTP answers GET /comparison?service=NAME&since=UNIX with a compare.Tally.
func (s *Sampler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("service")
	seconds, err := strconv.ParseInt(r.URL.Query().Get("since"), 10, 64)
	if err != nil {
		seconds = 0
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	tally := s.Tally(migration.Name(name), time.Unix(seconds, 0), time.Now())
	if tally == nil {
		w.WriteHeader(http.StatusNotFound)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": fmt.Sprintf("service %q is not compared: write compare: {continuous: true} in its config", name)})
		return
	}
	_ = json.NewEncoder(w).Encode(tally)
}

var (
	samplesDesc = prometheus.NewDesc("migration_proxy_compare_samples_total",
		"Requests that both sides were asked again, to compare their answers.", []string{"service"}, nil)
	requestsDesc = prometheus.NewDesc("migration_proxy_compare_requests_total",
		"Requests that each side got for comparisons.", []string{"service", "side"}, nil)
)

// Describe implements prometheus.Collector.
func (s *Sampler) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- samplesDesc
	descriptions <- requestsDesc
}

// Collect implements prometheus.Collector.
func (s *Sampler) Collect(metrics chan<- prometheus.Metric) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, w := range s.services {
		metrics <- prometheus.MustNewConstMetric(samplesDesc, prometheus.CounterValue, float64(w.samples), string(name))
		metrics <- prometheus.MustNewConstMetric(requestsDesc, prometheus.CounterValue, float64(w.requested.Old), string(name), string(migration.Old))
		metrics <- prometheus.MustNewConstMetric(requestsDesc, prometheus.CounterValue, float64(w.requested.New), string(name), string(migration.New))
	}
}

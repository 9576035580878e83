package deploy

import (
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"

	"github.com/migration-proxy/migration-proxy/certs"
	"github.com/migration-proxy/migration-proxy/internal/golden"
	"github.com/migration-proxy/migration-proxy/internal/httpapi"
	"github.com/migration-proxy/migration-proxy/internal/manager"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/proxy/accesslog"
	"github.com/migration-proxy/migration-proxy/proxy/breaker"
	"github.com/migration-proxy/migration-proxy/proxy/sampling"
	"github.com/migration-proxy/migration-proxy/watcher"
	"github.com/migration-proxy/migration-proxy/webhook"
)

const metricsIntro = `# Metrics

This page lists all metrics of the proxy. ` + "`make golden`" + ` generates it from the code; do not
edit it.

Both programs serve ` + "`/metrics`" + ` on port 8080. They also have the metrics of the Go
runtime (` + "`go_*`" + `) and of the process (` + "`process_*`" + `). A series may be absent until its
first value exists. The alerts are in [operations.md](operations.md#alerts).
`

// TestMetricsPage: docs/metrics.md lists the metrics of all collectors.
func TestMetricsPage(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	leader, err := watcher.New(watcher.Options{Config: &rest.Config{Host: "127.0.0.1:1"}, Namespace: "migration-proxy", Log: log})
	require.NoError(t, err)
	histograms := histogramNames(t)
	page := metricsIntro +
		"\n## Data plane (`run`)\n\n" + metricsTable(t, histograms,
		httpapi.StatusCollector{Current: fullStatus}, accesslog.NewCounters(time.Now()), breaker.New(breaker.Options{Log: log}), sampling.NewSampler(nil)) +
		"\n## Webhook and watcher (`webhook`)\n\nThe gauges that begin with `migration_proxy_watcher_`, except `migration_proxy_watcher_leader`, and\n" +
		"`migration_proxy_cluster_phase` and `migration_proxy_ingresses` come from the replica that leads.\n\n" +
		metricsTable(t, histograms, webhook.New(webhook.Options{Cache: &webhook.ConfigCache{}, Log: log}), leader, certs.New(t.TempDir(), "migration-proxy", log), manager.LeaderGauge(nil))
	golden.Check(t, "../docs/metrics.md", []byte(page))
}

// fullStatus has a value for every metric of the status.
func fullStatus() status.Status {
	observed := 1.0
	return status.Status{
		Config:   status.Config{Results: map[string]uint64{"applied": 1}},
		Services: []status.Service{{Name: "web", Observed: &observed}},
	}
}

var descText = regexp.MustCompile(`^Desc\{fqName: ("(?:[^"\\]|\\.)*"), help: ("(?:[^"\\]|\\.)*"), unit: "[^"]*", constLabels: \{\}, variableLabels: \{([^}]*)\}\}$`)

// metricsTable has a row for each metric that the collectors describe.
func metricsTable(t *testing.T, histograms []string, all ...prometheus.Collector) string {
	t.Helper()
	var rows []string
	registry := prometheus.NewPedanticRegistry()
	types := map[string]string{}
	for _, collector := range all {
		require.NoError(t, registry.Register(collector))
		for _, desc := range described(collector) {
			parts := descText.FindStringSubmatch(desc.String())
			require.NotNil(t, parts, desc.String())
			name, help := unquote(t, parts[1]), unquote(t, parts[2])
			require.NotEmpty(t, help, name)
			types[name] = typeOf(name, histograms)
			rows = append(rows, fmt.Sprintf("| `%s` | %s | %s | %s |\n", name, types[name], labelCell(parts[3]), strings.ReplaceAll(help, "|", `\|`)))
		}
	}
	requireTypes(t, registry, types)
	slices.Sort(rows)
	return "| metric | type | labels | meaning |\n|---|---|---|---|\n" + strings.Join(rows, "")
}

func described(collector prometheus.Collector) (all []*prometheus.Desc) {
	out := make(chan *prometheus.Desc)
	go func() { defer close(out); collector.Describe(out) }()
	for desc := range out {
		all = append(all, desc)
	}
	return all
}

func unquote(t *testing.T, quoted string) string {
	t.Helper()
	text, err := strconv.Unquote(quoted)
	require.NoError(t, err)
	return text
}

func labelCell(labels string) string {
	if labels == "" {
		return ""
	}
	return "`" + strings.ReplaceAll(labels, ",", "`, `") + "`"
}

// typeOf follows the names: a Desc has no type. requireTypes compares it with
// the metrics that have values.
func typeOf(name string, histograms []string) string {
	switch {
	case slices.Contains(histograms, name):
		return "histogram"
	case strings.HasSuffix(name, "_total"):
		return "counter"
	}
	return "gauge"
}

var histogramName = regexp.MustCompile(`prometheus\.HistogramOpts\{\s*Name:\s*"(\w+)"`)

// histogramNames are the histograms in the code.
func histogramNames(t *testing.T) (names []string) {
	t.Helper()
	code := source(t)
	for _, found := range histogramName.FindAllStringSubmatch(code, -1) {
		names = append(names, found[1])
	}
	require.Len(t, names, strings.Count(code, "prometheus.HistogramOpts{"))
	return names
}

// requireTypes compares the types with those of the metrics that have values.
func requireTypes(t *testing.T, registry *prometheus.Registry, types map[string]string) {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	require.NotEmpty(t, families)
	for _, family := range families {
		want := map[string]dto.MetricType{"counter": dto.MetricType_COUNTER, "gauge": dto.MetricType_GAUGE, "histogram": dto.MetricType_HISTOGRAM}
		require.Equal(t, want[types[family.GetName()]], family.GetType(), family.GetName())
	}
}

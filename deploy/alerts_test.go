package deploy

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

type alert struct {
	Alert       string            `json:"alert"`
	Expr        string            `json:"expr"`
	For         string            `json:"for"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// alerts are the alerts of the chart.
func alerts(t *testing.T) []alert {
	t.Helper()
	text, err := os.ReadFile("chart/alerts.yaml")
	require.NoError(t, err)
	var alerts []alert
	require.NoError(t, yaml.UnmarshalStrict(text, &alerts))
	require.NotEmpty(t, alerts)
	return alerts
}

var metricName = regexp.MustCompile(`migration_proxy_([a-z_]+)`)

// TestAlerts: each alert uses metrics that exist, and docs/operations.md says what
// to do about it.
func TestAlerts(t *testing.T) {
	t.Parallel()
	operations, err := os.ReadFile("../docs/operations.md")
	require.NoError(t, err)
	code := source(t)
	for _, alert := range alerts(t) {
		require.Contains(t, string(operations), "`"+alert.Alert+"`")
		require.Contains(t, []string{"critical", "warning"}, alert.Labels["severity"])
		require.NotEmpty(t, alert.Annotations["summary"])
		require.NotEmpty(t, alert.Annotations["description"])
		for _, name := range metricName.FindAllStringSubmatch(alert.Expr, -1) {
			require.Regexp(t, `"(migration_proxy_)?`+name[1]+`"`, code, "%s", alert.Alert)
		}
	}
}

// TestLastingFaultsHaveAlerts: every fault that does not end by itself has an
// alert.
func TestLastingFaultsHaveAlerts(t *testing.T) {
	t.Parallel()
	var expressions strings.Builder
	for _, alert := range alerts(t) {
		expressions.WriteString(alert.Expr + "\n")
	}
	for _, metric := range []string{
		"ready == 1", "config_in_sync == 0", "watcher_config_valid == 0", "watcher_replica_config_in_sync == 0",
		"watcher_paused == 1", "watcher_failing > 0",
		"share_deviates == 1", "side_check_failed == 1", "connections_taken == 1", "memory_taken == 1", "certificate_files_unusable == 1",
	} {
		require.Regexp(t, `migration_proxy_`+strings.Replace(metric, " ", `\)? `, 1), expressions.String())
	}
}

// TestAlertsAreRendered: Helm leaves the template braces of Prometheus alone.
func TestAlertsAreRendered(t *testing.T) {
	t.Parallel()
	text, err := template(t, "monitoring.prometheusRule.enabled=true", "monitoring.podMonitor.enabled=true", "monitoring.podMonitor.labels.a=b")
	require.NoError(t, err)
	require.Contains(t, text, "kind: PodMonitor")
	service, err := template(t, "monitoring.serviceMonitor.enabled=true", "monitoring.serviceMonitor.labels.a=b")
	require.NoError(t, err)
	require.Contains(t, service, "kind: ServiceMonitor")
	require.Contains(t, text, "{{ $labels.service }} fell back")
	for _, alert := range alerts(t) {
		require.Contains(t, text, "- alert: "+alert.Alert+"\n")
	}
}

// TestEventsAreDocumented: docs/operations.md has every reason of an Event.
func TestEventsAreDocumented(t *testing.T) {
	t.Parallel()
	operations, err := os.ReadFile("../docs/operations.md")
	require.NoError(t, err)
	text, err := os.ReadFile("../watcher/events/events.go")
	require.NoError(t, err)
	reasons := regexp.MustCompile(`(?m)^\t\w+ += "(\w+)"`).FindAllStringSubmatch(string(text), -1)
	require.NotEmpty(t, reasons)
	for _, reason := range reasons {
		require.Contains(t, string(operations), "`"+reason[1]+"`")
	}
}

// source is the text of all Go files of the module that are no tests.
func source(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains([]string{".git", "bin", "bench", "e2e", "hack", "testdata"}, entry.Name()):
			return filepath.SkipDir
		case entry.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := os.ReadFile(path)
		text.Write(file)
		return err
	})
	require.NoError(t, err)
	return text.String()
}
